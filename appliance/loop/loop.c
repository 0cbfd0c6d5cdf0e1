#include "appliance/loop/loop.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"

enum { ACCURACY_US = 1000, SPARE_TIMERS = 8 };

struct stop {
	loop_fn *fn;
	void *arg;
};

#define THRIFT_FIRST_US (UINT64_C(20) * 1000000)
#define THRIFT_US	(UINT64_C(120) * 1000000)
#define THRIFT_SLACK_US (UINT64_C(15) * 1000000)

struct loop_timer {
	struct loop_timer **slot;
	sd_event_source *source;
	loop_fn *fn;
	void *arg;
	sd_event *loop;		 /* a spare one's, borrowed; NULL: it was made when it was started */
	struct loop_timer *next; /* of the spares */
};

struct loop_watch {
	struct loop_watch **slot;
	sd_event_source *source;
	loop_io_fn *fn;
	void *arg;
};

static int
on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct stop *stop = arg;

	(void)si;
	(void)sd_notify(0, "STOPPING=1"); /* of no unit: nothing */
	if (stop->fn)
		stop->fn(stop->arg);
	else
		(void)sd_event_exit(sd_event_source_get_event(source), 0);
	return 0;
}

/* The source floats: it lives and dies with the loop, and what it points to with it. */
static int
add_stop(sd_event *loop, int sig, loop_fn *fn, void *arg)
{
	sd_event_source *source = NULL;
	struct stop *stop = calloc(1, sizeof(*stop));
	int r;

	if (!stop)
		return FAULT(-ENOMEM);
	*stop = (struct stop){ fn, arg };
	r = sd_event_add_signal(loop, &source, sig, on_stop, stop);
	if (r < 0) {
		free(stop);
		return FAULT(r);
	}
	(void)sd_event_source_set_destroy_callback(source, free);
	r = sd_event_source_set_floating(source, 1);
	(void)sd_event_source_unref(source);
	return r < 0 ? FAULT(r) : 0;
}

/* --- spare timers ---------------------------------------------------------------------------------- */
/* What turns over by a timer of its own stands still for good where the next one cannot be made: a few are there before
 * they are needed.  Of all loops of this process, whose one thread has them. */
static struct loop_timer *spares;

static int on_timer(sd_event_source *source, uint64_t usec, void *arg);

/* The source has ended, as its loop does. */
static void
on_spare_destroyed(void *arg)
{
	for (struct loop_timer **p = &spares; *p; p = &(*p)->next)
		if (*p == arg) {
			*p = (*p)->next;
			break;
		}
	free(arg);
}

/* It floats until it is taken: it dies with the loop, and does not keep it. */
static void
put_spare(struct loop_timer *t)
{
	sd_event_source *source = t->source;

	t->next = spares;
	spares = t;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	(void)sd_event_source_set_floating(source, 1);
	(void)sd_event_source_unref(source); /* t may be gone with it */
}

static int
add_spare(sd_event *loop)
{
	struct loop_timer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return FAULT(-ENOMEM);
	t->loop = loop;
	r = sd_event_add_time_relative(loop, &t->source, CLOCK_BOOTTIME, 0, ACCURACY_US, on_timer, t);
	if (r < 0) {
		free(t);
		return FAULT(r);
	}
	(void)sd_event_source_set_destroy_callback(t->source, on_spare_destroyed);
	put_spare(t);
	return 0;
}

static struct loop_timer *
take_spare(const sd_event *loop, uint64_t us)
{
	for (struct loop_timer **p = &spares; *p; p = &(*p)->next) {
		struct loop_timer *t = *p;

		if (t->loop != loop || sd_event_source_set_time_relative(t->source, us) < 0)
			continue;
		*p = t->next;
		(void)sd_event_source_ref(t->source);
		(void)sd_event_source_set_floating(t->source, 0);
		(void)sd_event_source_set_enabled(t->source, SD_EVENT_ONESHOT);
		return t;
	}
	return NULL;
}

/* --- the loop --------------------------------------------------------------------------------------- */
int
loop_new(sd_event **ret, loop_fn *stop, void *arg)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	sigset_t set;
	int r;

	/* Blocked before anything can start a thread, so that only the loop hears of them. */
	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGTERM) < 0 || sigaddset(&set, SIGINT) < 0 ||
		sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return FAULT(-errno);
	r = sd_event_new(&loop);
	if (r < 0)
		return FAULT(r);
	r = add_stop(loop, SIGTERM, stop, arg);
	r = r ? r : add_stop(loop, SIGINT, stop, arg);
	for (int i = 0; i < SPARE_TIMERS && r == 0; i++)
		r = add_spare(loop);
	if (r < 0)
		return r;
	/* Where systemd asks for it, by the environment: else nothing. */
	r = sd_event_set_watchdog(loop, true);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(loop);
	return 0;
}

/* What a start or a large request left in the heap goes back to the system.  Rarely, and whenever it suits: it waits
 * for a wake-up that comes anyway. */
static int
on_thrift(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)arg;
	(void)malloc_trim(0);
	if (sd_event_source_set_time(source, usec + THRIFT_US) < 0)
		return 0; /* it stays off: nothing but memory is lost */
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int
loop_run(sd_event *loop)
{
	sd_event_source *thrift = NULL;
	uint64_t now_us;
	int r;

	r = sd_event_now(loop, CLOCK_BOOTTIME, &now_us);
	if (r >= 0)
		r = sd_event_add_time(loop, &thrift, CLOCK_BOOTTIME, now_us + THRIFT_FIRST_US, THRIFT_SLACK_US, on_thrift,
			NULL);
	if (r >= 0)
		r = sd_event_loop(loop);
	sd_event_source_unref(thrift);
	return r < 0 ? FAULT(r) : r;
}

static int
on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct loop_timer *t = arg;
	loop_fn *fn = t->fn;
	void *fn_arg = t->arg;

	(void)source;
	(void)usec;
	loop_cancel(t); /* forgotten first: fn may start the next one in the same slot */
	fn(fn_arg);
	return 0;
}

static struct loop_timer *
new_timer(sd_event *loop, uint64_t us)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (t && sd_event_add_time_relative(loop, &t->source, CLOCK_BOOTTIME, us, ACCURACY_US, on_timer, t) >= 0)
		return t;
	free(t);
	return take_spare(loop, us);
}

int
loop_after(struct loop_timer **slot, sd_event *loop, uint64_t ms, loop_fn *fn, void *arg)
{
	struct loop_timer *t;

	if (ms > UINT64_MAX / 2 / CLOCK_US_PER_MS)
		return FAULT(-ERANGE);
	t = new_timer(loop, ms * CLOCK_US_PER_MS);
	if (!t)
		return FAULT(-ENOMEM);
	loop_cancel(*slot);
	t->fn = fn;
	t->arg = arg;
	t->slot = slot;
	*slot = t;
	return 0;
}

struct loop_timer *
loop_cancel(struct loop_timer *t)
{
	if (!t)
		return NULL;
	*t->slot = NULL;
	if (t->loop) {
		put_spare(t);
	} else {
		(void)sd_event_source_disable_unref(t->source);
		free(t);
	}
	return NULL;
}

static int
on_io(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct loop_watch *w = arg;

	(void)source;
	(void)fd;
	w->fn(revents, w->arg); /* may unwatch: nothing of w is touched after it */
	return 0;
}

int
loop_watch(struct loop_watch **slot, sd_event *loop, int fd, uint32_t events, loop_io_fn *fn,
	void *arg)
{
	struct loop_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return FAULT(-ENOMEM);
	*w = (struct loop_watch){ .fn = fn, .arg = arg };
	loop_unwatch(*slot); /* first: the same descriptor cannot be watched twice */
	r = sd_event_add_io(loop, &w->source, fd, events, on_io, w);
	if (r < 0) {
		free(w);
		return FAULT(r);
	}
	w->slot = slot;
	*slot = w;
	return 0;
}

int
loop_watch_events(struct loop_watch *w, uint32_t events)
{
	int r = sd_event_source_set_io_events(w->source, events);

	return r < 0 ? FAULT(r) : 0;
}

struct loop_watch *
loop_unwatch(struct loop_watch *w)
{
	if (!w)
		return NULL;
	*w->slot = NULL;
	(void)sd_event_source_disable_unref(w->source);
	free(w);
	return NULL;
}
