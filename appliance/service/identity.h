/* Which uid each role has on this site.
 *
 * `mainstay run` decides it once (as root: numbers without passwd entries, ten to a state folder;
 * as an ordinary user: its own uid for all) and writes run/supervise/ids; all others read it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct paths;

enum identity_role {
	IDENTITY_COURIER,
	IDENTITY_COLLECTD,
	IDENTITY_JUDGE,
	IDENTITY_SERVICE, /* every service that names no user of its own */
	IDENTITY_MONITOR, /* root, or the ordinary user */
	IDENTITY_NOTIFY,  /* the customer's own programs in etc/notify.d */
	IDENTITY_MAX
};

struct identity {
	bool separate;		 /* each role has a uid of its own */
	uid_t uid[IDENTITY_MAX]; /* the gid of each role is the same number */
	gid_t readers;		 /* may read the spool, the outbox and the services' run folders */
};

/* Decide: for the state whose lib folder has this name; separate only where asked for and we are
 * root. */
void identity_plan(struct identity *ret, const char *lib, bool separate);

/* Write to and read from run_fd/supervise/ids.  identity_load returns 0, REASON_NOT_FOUND or
 * REASON_MALFORMED (logged), or a fault. */
int identity_save(const struct identity *id, int run_fd);
int identity_load(struct identity *ret, const struct paths *paths);
