/* A program inside a service's sandbox that ends by itself: its health check, its preparation, its
 * reload.  One at a time, killed for certain. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/supervise/boxed.h"

struct boxed_run;
/* passed: it ended with 0, and what was expected stood in the first 4 KiB of its output. */
typedef void boxed_run_fn(bool passed, void *arg);

struct boxed_job {
	char *const *argv;
	unsigned rights;    /* BOXED_ */
	const char *expect; /* "": nothing */
	int log_fd;	    /* takes its output instead; borrowed for boxed_run_start(); -1: none */
};

/* For what goes into boxed (borrowed). */
int boxed_run_new(struct boxed_run **ret, sd_event *loop, const struct boxed *boxed,
	boxed_run_fn *fn, void *arg);
/* Run it; job's texts are borrowed until its end.  fn runs once, later, from the loop, when it has
 * ended, unless cancelled.  Returns 0; REASON_BUSY (unlogged) where the one before is still there; what
 * boxed_spawn() refuses; or a fault. */
int boxed_run_start(struct boxed_run *p, const struct boxed_job *job);
/* Kill it; fn does not run.  It is gone a moment later. */
void boxed_run_cancel(struct boxed_run *p);
struct boxed_run *boxed_run_free(struct boxed_run *p);
SCOPED_DESTRUCTOR(struct boxed_run, boxed_run_free)
