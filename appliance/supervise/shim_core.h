/* What a shim decides, as a table: no I/O, no clock.  An event comes in with the time; the actions
 * to take go out as bits.  After each step the caller takes the actions, saves .is and .health
 * where they changed, and calls again with SHIM_DUE at .due_us. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/service/spec.h"
#include "appliance/service/state.h"

enum { SHIM_BRAKE_RESTARTS = 5, SHIM_BRAKE_S = 60 };

enum shim_phase {
	SHIM_WAITING,	/* nothing runs; started at due_us */
	SHIM_PREPARING, /* what it needs is being made; given up at due_us */
	SHIM_STARTING,	/* runs, has not passed its health check yet */
	SHIM_UP,
	SHIM_ENDING, /* was asked to end; killed at due_us */
	SHIM_GONE,   /* the shim ends */
	SHIM_PHASE_MAX
};

enum shim_event {
	SHIM_BEGIN, /* start it */
	SHIM_ADOPT, /* it runs already: from an earlier life of the shim */
	SHIM_SPAWN_FAILED,
	SHIM_PREPARE,  /* instead of starting, something is made for it first */
	SHIM_PREPARED, /* it is there */
	SHIM_EXITED,
	SHIM_PASSED,	   /* a probe did */
	SHIM_PROBE_ERROR,  /* a probe was answered wrongly, or nobody listens */
	SHIM_PROBE_SILENT, /* a probe had no answer in time */
	SHIM_STOPPED,	   /* state T */
	SHIM_CONTINUED,
	SHIM_RELOADED, /* it was told to take up its configuration */
	SHIM_STOP,     /* asked to stop for good */
	SHIM_REPLACE,  /* what runs is not what should run */
	SHIM_DUE,
	SHIM_EVENT_MAX
};

enum shim_action {
	SHIM_DO_START = 1 << 0,
	SHIM_DO_TERM = 1
		<< 1, /* the signal it stops by, and CONT: a stopped process must wake up to end */
	SHIM_DO_KILL = 1 << 2,
	SHIM_DO_END = 1 << 3,
	SHIM_DO_ABANDON = 1 << 4, /* the preparation: kill it */
};

struct shim_core {
	/* rules; set once */
	enum spec_heal heal;
	bool probed; /* it has a health check */
	uint64_t failures_max;
	uint64_t prepare_us, start_us, grace_us; /* time to prepare, to start, to end */

	/* state */
	enum shim_phase phase;
	enum state_is is; /* what people read */
	enum state_health health;
	bool for_good;	   /* ENDING: not to be started again */
	bool stopped;	   /* state T */
	uint64_t failures; /* in a row */
	bool silent;	   /* the last failure was silence */
	unsigned restarts;
	uint64_t restarted_us[SHIM_BRAKE_RESTARTS]; /* ring of the last ones; 0: none */
	unsigned next;
	uint64_t due_us; /* UINT64_MAX: never */
};

void shim_core_init(struct shim_core *c, const struct spec *spec);

/* Step.  Returns the actions, SHIM_DO_ bits.  An event that the phase does not know changes
 * nothing. */
unsigned shim_core_step(struct shim_core *c, enum shim_event event, uint64_t now_us);

/* What ails what runs, for people, with the remedy; NULL: nothing that is known.  Static. */
const char *shim_core_ails(const struct shim_core *c);
