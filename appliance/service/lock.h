/* lib/cluster.lock: the exact release of each service that runs, written by activation alone.
 *
 *	{"services":{"redis":{"channel","counter","release":HEX,"version"}},"v":1}
 *
 * in canonical JSON; HEX is that of index.json. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct paths;

enum { LOCK_SERVICES_MAX = 64, LOCK_BYTES_MAX = 64 * 1024 };

struct lock_entry {
	char service[65];
	char release[65]; /* lower-case hex */
	char version[65];
	char channel[65];
	uint64_t counter;
};

struct lock {
	size_t n;
	struct lock_entry entries[LOCK_SERVICES_MAX]; /* sorted by service */
};

/* Read; no file is an empty lock.  Returns 0, REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged), or
 * a fault. */
int lock_read(struct lock *ret, const struct paths *paths);
/* Replace the file. */
int lock_write(const struct lock *l, const struct paths *paths);

const struct lock_entry *lock_find(const struct lock *l, const char *service);
/* Put (or replace) an entry.  Returns 0 or REASON_TOO_LARGE (logged). */
int lock_put(struct lock *l, const struct lock_entry *e);
/* Take a service out; REASON_NOT_FOUND (logged). */
int lock_remove(struct lock *l, const char *service);
