/* The processes that mainstay-supervise holds: one entry each, kept equal to the roster on disk. */
#pragma once

#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/supervise_wire.h"

struct supervise;

struct held {
	struct held *next;
	struct supervise *owner;
	enum roster_role role;
	char id[ROSTER_ID_MAX + 1];
	struct child child; /* pid 0: down */
	struct child_watch *watch;
	struct loop_timer *retry; /* started again when it fires */
	int ready_fd;		  /* daemons: read end of the readiness pipe; -1 */
	struct loop_watch *ready_watch;
	bool ready;
	bool ending; /* asked to end: not started again */
	unsigned restarts, tries;
	uint64_t started_us; /* boot time */
	bool grouped; /* a worker with a control group of its own */
	/* Shims: their services' secrets, sealed memory files, for when the shim is started again; never
	 * on disk.  Owned. */
	int secrets[SUPERVISE_SECRETS_MAX];
	size_t n_secrets;
};

/* A new entry at the head of *list; NULL where there is no memory. */
struct held *held_new(struct held **list, struct supervise *owner, enum roster_role role,
	const char *id);
/* Take it out and free it; the process itself goes on. */
void held_free(struct held **list, struct held *h);
/* Its process has ended, or was never started: forget pid, watches and pipe. */
void held_down(struct held *h);

/* Copy the secrets of a shim that outlived whoever started it: it still holds them itself. */
void held_take_secrets(struct held *h);

struct held *held_find(struct held *list, enum roster_role role,
	const char *id); /* id NULL: the first */
struct held *held_of_pid(struct held *list, pid_t pid);
unsigned held_count(const struct held *list, enum roster_role role);

static inline bool
held_is_daemon(const struct held *h)
{
	return h->role == ROSTER_MONITOR || h->role == ROSTER_COLLECTD || h->role == ROSTER_COURIER;
}

static inline bool
held_is_worker(const struct held *h)
{
	return h->role == ROSTER_JUDGE || h->role == ROSTER_OPERATE || h->role == ROSTER_ACTIVATE ||
		h->role == ROSTER_NOTIFY;
}

/* Fill *ret from list. */
void held_roster(const struct held *list, struct roster *ret);
