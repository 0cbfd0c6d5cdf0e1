/* The steps of the process driver (driver_process.c): each asks the supervisor for a shim, or for its end, and looks at the
 * shim's state file until its service is where the step wants it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/base/buf.h"
#include "appliance/loop/loop.h"
#include "appliance/service/driver.h"
#include "appliance/service/spec.h"

struct paths;
struct spawner;

enum driver_phase {
	DRIVER_PHASE_STOPPING,  /* the shim was asked to stop; waits until it is gone */
	DRIVER_PHASE_STARTING,  /* a shim was asked for; waits for running */
	DRIVER_PHASE_RELOADING, /* the shim was asked to; waits for its count, then for health */
};

/* One step of one service. */
struct driver_step {
	struct driver_step *next;
	struct driver_processes *owner;
	enum driver_phase phase;
	char service[SPEC_NAME_MAX + 1];
	struct buf spec;	       /* encoded; empty for a stop */
	int secrets[SPEC_SECRETS_MAX]; /* owned */
	size_t n_secrets;
	uint64_t memory, processes, cpu_milli;
	bool can_reload;   /* the spec says how */
	unsigned reloads;  /* the shim's count before */
	bool probed;	   /* running is not enough, its health must pass */
	bool brings;	   /* secrets, to a service that runs and lost them */
	bool asked;	   /* the supervisor took the request */
	bool found;	   /* a shim that was there already, and that somebody who died may have told to stop */
	unsigned again;	   /* so many shims ended before their service was started */
	uint64_t was_started_us; /* the service, last, when one was asked for */
	pid_t shim;	   /* that a stop was asked of */
	bool busy;	   /* another step of the service ran already: only to be told */
	uint64_t start_ms; /* that the start may take */
	uint64_t until_us;
	struct loop_timer *look;
	bool call_out; /* the supervisor has not answered yet */
	bool over;     /* done was told; only that answer is waited for */
	driver_done_fn *done;
	void *arg;
};

struct driver_processes {
	struct driver base;
	sd_event *loop;
	const struct paths *paths;
	struct spawner *spawner;
	struct driver_step *steps;
};

/* A new step, which begins at the loop's next turn; spec (NULL for a stop) is copied.  done runs exactly once, from the loop,
 * but where the steps are forgotten before.  Returns 0 or a fault. */
int driver_step_new(struct driver_processes *p, struct driver_step **ret, const char *service, const struct spec *spec,
	enum driver_phase phase, driver_done_fn *done, void *arg);
/* It is over: r is told, from within. */
void driver_step_finish(struct driver_step *st, int r);
/* Nothing is told, and no answer of the supervisor is waited for. */
void driver_step_forget(struct driver_step *st);
/* Look where it is, so many milliseconds from now. */
void driver_step_look(struct driver_step *st, uint64_t ms);
/* Is there a shim of the service, or is one being started again?  In doubt there is. */
bool driver_step_has_shim(const struct driver_processes *p, const char *service);
