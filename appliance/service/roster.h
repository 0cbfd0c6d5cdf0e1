/* The roster: which process plays which role right now.  run/supervise/roster, written by
 * mainstay-supervise on each change (replaced atomically), read by whoever must know that the peer
 * of a socket is the one process that has that role.
 *
 *	mainstay-roster 1 BOOT_ID
 *	ROLE ID PID STARTTIME READY RESTARTS
 *
 * one line each; ID is "-" where the role has one holder.
 *
 * A promise: each core reads what every other one wrote, or it would start beside what runs
 * (tests/unit/appliance/supervise/takeover.c has the bytes).  The numbers of the roles stay. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct paths;

enum roster_role {
	ROSTER_RUN, /* mainstay run */
	ROSTER_SUPERVISE,
	ROSTER_MONITOR,
	ROSTER_COLLECTD,
	ROSTER_COURIER,
	ROSTER_JUDGE, /* workers: id is their number */
	ROSTER_OPERATE,
	ROSTER_ACTIVATE,
	ROSTER_NOTIFY,
	ROSTER_SHIM, /* id is the service's name */
	ROSTER_ROLE_MAX
};

enum { ROSTER_ID_MAX = 64, ROSTER_ENTRIES_MAX = 256, ROSTER_BYTES_MAX = 64 * 1024 };

struct roster_entry {
	enum roster_role role;
	char id[ROSTER_ID_MAX + 1]; /* "" where the role has one holder */
	pid_t pid;		    /* 0 while it is down, waiting to be started again */
	uint64_t start_time;
	bool ready;
	unsigned restarts;
};

struct roster {
	size_t n;
	struct roster_entry entries[ROSTER_ENTRIES_MAX];
};

const char *roster_role_name(enum roster_role role); /* "monitor" */
/* The unit of a daemon under systemd: "mainstayd.service"; NULL: it has none. */
const char *roster_unit(enum roster_role role);

/* Append the text of r to out. */
int roster_text(struct buf *out, const struct roster *r, const char *boot_id);
/* Parse.  A roster of another boot gives an empty one.  Returns 0 or REASON_MALFORMED (logged). */
int roster_parse(struct roster *ret, const void *p, size_t len, const char *boot_id);

/* Write to run_fd/supervise/roster; returns 0 or a fault. */
int roster_save(const struct roster *r, int run_fd);
/* Read it; *ret (large: not for a small stack) is empty where there is none or it is of another
 * boot. Returns 0, REASON_MALFORMED (logged), or a fault. */
int roster_load(struct roster *ret, const struct paths *paths);

/* The entry, or NULL.  id NULL: the first of that role. */
const struct roster_entry *roster_find(const struct roster *r, enum roster_role role,
	const char *id);

/* Does this process hold role now?  Reads the roster and /proc; checks pid and start time.  Where systemd runs, a
 * process of the daemon's unit does, too, as its control group says, which nobody leaves or enters without root.  For
 * the peer of an accepted socket (SO_PEERCRED), whose uid the caller has checked: call right after accept. */
bool roster_holds(const struct paths *paths, enum roster_role role, pid_t pid);
