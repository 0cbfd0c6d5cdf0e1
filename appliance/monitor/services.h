/* The services' states in the monitor: what cluster.yaml wants, what cluster.lock says runs, what the shims
 * report; and the steps that verbs and activation take.  Restarting after a crash (heal) is the shim's. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/service/definition.h"
#include "appliance/service/state.h"

struct monitor;

enum { SERVICES_MAX = 64, SERVICES_NAME_MAX = 64 };

struct services_state {
	char name[SERVICES_NAME_MAX + 1];
	char release[65]; /* hex of index.json, "" where none is active */
	char version[65]; /* "7.0.15", "" */
	char channel[33]; /* of cluster.yaml */
	char state[12];	  /* running stopped failed frozen starting */
	char health[12];  /* passing failing unknown */
	uint64_t since_us;
	uint64_t looked_us; /* state.h */
	unsigned restarts;
	int exit;
	char why[STATE_WHY_MAX + 1]; /* it came down, with lines of its log: for this site alone; "" */
	bool wanted; /* it stands in cluster.yaml */
	int fault;   /* why its state could not be read: it is told as stopped then, and whoever decides by it has to ask */
};

/* What is known now, copied into *ret: services of cluster.yaml, then those that only the lock still names; i is below the
 * count.  false where there is none.  What runs is read from its shim's file at each call. */
size_t services_count(struct monitor *m);
bool services_at(struct monitor *m, size_t i, struct services_state *ret);
bool services_find(struct monitor *m, const char *name, struct services_state *ret);

/* What cluster.yaml, as last read, says of a service; NULL where it does not name it.  Until the next loop turn. */
struct cluster_service;
const struct cluster_service *services_cluster(struct monitor *m, const char *name);

/* Steps.  done runs exactly once, later, from the loop: 0 when the state is reached, REASON_NOT_FOUND, REASON_BUSY
 * where another step of that service runs, REASON_STATE_MOVED where it did not get there within the definition's
 * time, or a fault.  They return 0 or a fault (done does not run then).  Starting what runs and stopping what is
 * stopped is done at once. */
typedef void services_done_fn(int r, void *arg);
int services_start(struct monitor *m, const char *name, services_done_fn *done, void *arg);
int services_stop(struct monitor *m, const char *name, services_done_fn *done, void *arg);
int services_restart(struct monitor *m, const char *name, services_done_fn *done, void *arg);
/* Whoever asked for one of these with done and arg goes: the step goes on, and done does not run any more. */
void services_leave(struct monitor *m, services_done_fn *done, const void *arg);
/* Write its configuration and have it take that up without a restart (driver_reload()). */
int services_take_up(struct monitor *m, const char *name, services_done_fn *done, void *arg);

/* A change that is between its stop and its start has the service to itself: where held says so, neither the monitor's own
 * start nor what a monitor before it had half restarted starts it meanwhile.  Asked from the loop; arg is borrowed for as long as
 * the monitor lives. */
typedef bool services_held_fn(const char *service, void *arg);
void services_hold(struct monitor *m, services_held_fn *held, void *arg);

/* As `mainstay service VERB NAME` and an operation with that verb take it: start and stop are written to cluster.yaml, so
 * that they last; a service starts only once what it requires runs, and stops only once nothing that runs requires it.
 * A stop ends a start that such a verb or the monitor's own start began (that one's done: REASON_INTERRUPTED).
 * done runs exactly once, later, from the loop, as of the steps above (also with what the judge refuses of
 * cluster.yaml).  Returns 0; REASON_NOT_FOUND, REASON_CONFLICT or REASON_BUSY (a change of it is under way; logged), or what cluster_member() refuses, and nothing
 * was changed; or a fault (done does not run then). */
int services_verb(struct monitor *m, const char *name, enum definition_verb verb, services_done_fn *done, void *arg);
/* Would it be refused at once?  Changes nothing. */
int services_verb_check(struct monitor *m, const char *name, enum definition_verb verb);

/* The values of a service's knobs in force, checked and with defaults filled in (definition_check_knobs()'s
 * object); *ret is the caller's.  Returns 0, REASON_NOT_FOUND (logged) where no release of it is active, or a
 * fault. */
int services_knobs(struct monitor *m, const char *name, json_t **ret);

/* cluster.yaml or cluster.lock were replaced by somebody else (activation): read them again. */
void services_reload(struct monitor *m);
/* The same for a verb that must not answer before the monitor knows it: fn runs once they are read, from the loop,
 * with 0, the judge's refusal, or a fault.  Returns 0; a refusal (logged) or a fault, and fn does not run. */
typedef void services_read_fn(int r, void *arg);
int services_reload_then(struct monitor *m, services_read_fn *fn, void *arg);

/* Registers the service.* verbs and the module. */
int services_init(struct monitor *m);
