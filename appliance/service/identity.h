/* Which uid each role and each service has on this site.
 *
 * `mainstay run` decides those of the roles once (as root: numbers without passwd entries, 256 to a
 * state folder, beyond those that systemd and users' namespaces hand out; as an ordinary user: its
 * own uid for all) and writes run/supervise/ids; all others read it.  A service gets its number when
 * it is first launched and keeps it while it has data: lib/services/.ids. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct paths;

enum identity_role {
	IDENTITY_COURIER,
	IDENTITY_COLLECTD,
	IDENTITY_JUDGE,
	IDENTITY_SERVICE, /* what runs in a sandbox and belongs to no service */
	IDENTITY_MONITOR, /* root, or the ordinary user */
	IDENTITY_NOTIFY,  /* the customer's own programs in etc/notify.d */
	IDENTITY_MAX
};

enum {
	IDENTITY_PER_STATE = 256,
	IDENTITY_SERVICES_FIRST = 16, /* numbers below are the roles' */
};

struct identity {
	bool separate;		 /* each role has a uid of its own */
	uid_t uid[IDENTITY_MAX]; /* the gid of each role is the same number */
	gid_t readers;		 /* may read the spool and the outbox, and meets on the bus */
	gid_t shims;		 /* may write run/shim */
	uid_t services;		 /* the first of those that services get; 0: behind the courier's */
};

/* Decide: for the state whose lib folder has this name; separate only where asked for and we are
 * root. */
void identity_plan(struct identity *ret, const char *lib, bool separate);

/* Under systemd the roles have names, which sysusers.d made: those of sysusers.d/mainstay.conf.  Services have numbers as
 * above.  Root alone.  Returns 0; or REASON_NOT_FOUND (logged) where one is not there, REASON_CONFLICT (logged) where its
 * group has another number than itself. */
int identity_plan_units(struct identity *ret, const char *lib);
/* The number of a group, by the host's own /etc/group alone; false where it names none. */
bool identity_group(const char *name, gid_t *ret);
/* The name that role has then; NULL: none. */
const char *identity_user(enum identity_role role);

/* Write to and read from run_fd/supervise/ids.  identity_load returns 0, REASON_NOT_FOUND or
 * REASON_MALFORMED (logged), or a fault. */
int identity_save(const struct identity *id, int run_fd);
int identity_load(struct identity *ret, const struct paths *paths);

/* The uid of service name (its gid is the same number); allotted, and on disk before this returns,
 * where it has none yet.  One number is not given to two services while both have a data folder.
 * Where uids are not separate: ours.  For the monitor, and for whoever starts its shim; blocks for
 * the time of a write at most.  Returns 0; REASON_TOO_LARGE (logged) all numbers are taken;
 * REASON_MALFORMED (logged) lib/services/.ids is not that list; or a fault. */
int identity_service(const struct identity *id, const struct paths *paths, const char *name,
	uid_t *ret);
