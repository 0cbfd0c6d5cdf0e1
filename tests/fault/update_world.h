/* A site whose disk is cut: the real monitor, change engine, stage and slots on its state folder; shims and the supervisor
 * are played here, and run/ lies elsewhere, as it does not outlive a power cut. */
#pragma once

#include "tests/unit/updater/activate/bench.h"

#include "appliance/supervise/slots.h"

enum { WORLD_RELEASES = 4, WORLD_CORES = 2 };

struct world {
	struct bench b;
	struct site_test t;
	int shims;	       /* run/shim */
	int courier, collectd; /* our ends of their connections; -1 */
	char sick[65];	       /* this release does not run */
	char broken[65];       /* nor does this core */
};

/* What holds at a moment, and what may lie on the disk until the next. */
struct world_point {
	long long at;	  /* bytes of the record of the disk */
	char release[65]; /* cluster.lock's; "-" */
	char via[65]; /* that it may name until the next point, though the change ends otherwise; "-" */
	char core[65];		       /* hex of the active core; "packaged" */
	unsigned long long generation; /* of the slots */
	unsigned long long leaves;     /* of the audit log */
	unsigned wanted;	       /* cluster.yaml names the service */
	unsigned long long rows;       /* of the updates' history */
	char step[32];		       /* what is done next */
};

/* state is there; run is a folder of our own. */
void world_open(struct world *w, const char *state, const char *run);
void world_close(struct world *w);
/* Enrolled and recorded, with the updates switch on.  Leaves the monitor running. */
void world_enrol(struct world *w);
/* End the monitor, and all that waits for an answer of it. */
void world_stop(struct world *w);
/* Start the monitor as that of the core in this slot. */
void world_start(struct world *w, enum slots_slot slot);
/* As `mainstay run` does: pick a core, again where the one on trial does not run, and start its monitor. */
void world_boot(struct world *w);
/* Turn the loop until no change is under way and the worker rests: false where that is not so after so many seconds. */
bool world_settle(struct world *w, unsigned seconds);
/* Call a verb and wait for its answer. */
int world_call(struct world *w, const char *verb, json_t *take_params);
/* Take redis away, once it is not just being started. */
int world_remove(struct world *w);

void world_slots(struct world *w, struct slots *ret);
void world_point(struct world *w, struct world_point *ret);

/* The n-th release of redis (1...), each other than the one before by a piece of its large file, which comes as a patch,
 * and by a small one; what is the same has one name more in the store. */
void world_release(struct world *w, unsigned n, struct bench_release *ret);
/* The n-th core, approved by its owners. */
void world_core(struct world *w, unsigned n, struct bench_release *ret);

/* Says what does not hold, and ends the program, if this does not leave it in another way first. */
extern void (*need_leave)(void);
void need(bool ok, const char *what, ...) __attribute__((format(printf, 2, 3)));
