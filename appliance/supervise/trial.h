/* A core on trial that nobody watches: `mainstay run` counts its time, and may be dead.
 *
 * Then its own supervisor ends daemons, workers and itself when the time is up (a little later, for run goes first), so
 * that no core runs for ever that was never good.  Services go on, as they do wherever a supervisor ends; the next run
 * takes the next try, or goes back. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

struct loop_timer;
struct paths;

typedef void trial_over_fn(void *arg);

struct trial {
	const struct paths *paths;
	struct loop_timer *timer;
	trial_over_fn *over;
	void *arg;
};

/* Where the core that we are of is on trial: over(arg) runs once, from the loop, grace_ms after its time is up, unless it
 * is good by then or trial_cancel() came first.  *t stays where it is until then; paths are borrowed.  Returns 0 or a
 * fault. */
int trial_watch(struct trial *t, sd_event *loop, const struct paths *paths, uint32_t grace_ms, trial_over_fn *over,
	void *arg);
void trial_cancel(struct trial *t);
