/* One sd_event for a process, and the few calls that make a daemon read plainly.
 *
 * Slots: a timer or a watch lives in a pointer of the struct that uses it.  Starting one into a slot
 * that is in use replaces it.  A timer's slot is NULL again before its function runs, so the function
 * may start the next one into it.  Slots must outlive what they hold: cancel them in the destructor.
 * Callbacks run from the loop, never from within the call that started them. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

struct loop_timer;
struct loop_watch;

typedef void loop_fn(void *arg);
typedef void loop_io_fn(uint32_t revents, void *arg); /* EPOLLIN ... */

/* A new loop.  SIGTERM and SIGINT are blocked and arrive in the loop: stop(arg) runs, or, where stop is
 * NULL, the loop ends with 0; systemd hears of it, and, as long as the loop turns, its watchdog.  SIGPIPE is ignored.  child_spawn() gives children clean signals again.
 * Free with sd_event_unref(). */
int loop_new(sd_event **ret, loop_fn *stop, void *arg);

/* Run until sd_event_exit(); returns its code (>= 0) or a fault.  Once it has run for a while, and then every two minutes,
 * free memory goes back to the system. */
int loop_run(sd_event *loop);

/* For SCOPED(loop_unrefp) sd_event *loop. */
static inline void
loop_unrefp(sd_event **loop)
{
	*loop = sd_event_unref(*loop);
}

/* Run fn(arg) once, after ms milliseconds of boot time (0: at the next turn).  Returns 0 or a fault.  Where there is no
 * memory it takes one of a few timers that each loop has for that, so that what starts its own next turn goes on. */
int loop_after(struct loop_timer **slot, sd_event *loop, uint64_t ms, loop_fn *fn, void *arg);
/* Forget it; fn will not run.  NULL is fine.  Returns NULL and empties the slot it was started in. */
struct loop_timer *loop_cancel(struct loop_timer *t);

/* Call fn whenever fd is ready for events (EPOLLIN | EPOLLOUT).  fd stays the caller's and must stay open
 * until loop_unwatch(). */
int loop_watch(struct loop_watch **slot, sd_event *loop, int fd, uint32_t events, loop_io_fn *fn,
	void *arg);
int loop_watch_events(struct loop_watch *w, uint32_t events); /* wait for these from now on */
struct loop_watch *loop_unwatch(struct loop_watch *w);        /* like loop_cancel() */

SCOPED_DESTRUCTOR(struct loop_timer, loop_cancel)
SCOPED_DESTRUCTOR(struct loop_watch, loop_unwatch)
