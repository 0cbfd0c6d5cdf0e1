/* The customer's own programs, run the moment something happens that policy.yaml's `notify` names.
 *
 * Each executable file in etc/notify.d (root's or ours, not writable by others; mode 0755, for it runs as a user
 * without privileges) is run by mainstay-notify: empty environment, one line of JSON on stdin
 *
 *	{"v":1,"event":"request","site":"acme-1","about":"r-1f2e","text":"request r-1f2e of ann waits ...","time":"..."}
 *
 * no new privileges, NOTIFY_LIMIT_S to end in, one at a time.  All that it started ends with it.  Nothing it says or does is read.  More than
 * NOTIFY_PER_MINUTE runs in a minute, or NOTIFY_WAITING_MAX that wait, are left out; the next run's "left_out" says
 * how many. */
#pragma once

enum {
	NOTIFY_LIMIT_S = 30,
	NOTIFY_GRACE_S = 10, /* for the worker to end what the program started, before it is killed itself */
	NOTIFY_PER_MINUTE = 30,
	NOTIFY_WAITING_MAX = 64,
	NOTIFY_PROGRAMS_MAX = 8,
};

struct monitor;
struct notify;

int notify_new(struct notify **ret, struct monitor *m);
struct notify *notify_free(struct notify *n);

/* Queue a run of each program.  about may be NULL.  What cannot be run is logged; nobody waits for it. */
void notify_event(struct notify *n, const char *event, const char *about, const char *text);
