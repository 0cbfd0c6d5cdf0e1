/* `mainstay run` from within; nobody else includes it.
 *
 *	run.c            the command, its folders, its signals
 *	run_supervise.c  the supervisor, kept running */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/fs.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/supervise/pick.h"
#include "appliance/supervise/run.h"

struct command_call;

struct run {
	struct command_call *call;
	struct paths paths; /* as the daemons see them */
	char state[256];    /* their --state; "" for the default folders */
	sd_event *loop;
	int lock_fd;
	int ready_out; /* --ready-fd; -1 */
	bool said;     /* readiness was told */
	bool ending, services_too;
	struct child supervise;
	struct child_watch *watch;
	struct loop_timer *retry;
	struct pick pick;	  /* the core that was started last */
	struct loop_timer *trial; /* it must be good when this fires */
	int ready_fd; /* supervise's readiness pipe; -1 */
	struct loop_watch *ready_watch;
	unsigned tries;
	uint64_t started_us;
	int refused; /* why nothing could be started; 0 */
};

/* Start the supervisor of the core that is picked, and again whenever it ends, until `ending`; says once that all are
 * ready.  Where none can be started the loop ends, with `refused` if there is a reason. */
void run_supervise_start(struct run *run);
/* The supervisor has ended for good: end what it left, and the loop. */
void run_supervise_finish(struct run *run);
