#include "appliance/serve/reactor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

struct reactor {
	struct event_base *base;
};

struct reactor_source {
	struct event *event;
	reactor_fn *fn;
	void *arg;
};

int
reactor_new(struct reactor **ret)
{
	struct reactor *r = calloc(1, sizeof(*r));

	if (!r)
		return FAULT(-ENOMEM);
	r->base = event_base_new();
	if (!r->base) {
		free(r);
		return FAULT(-ENOMEM);
	}
	*ret = r;
	return 0;
}

struct reactor *
reactor_free(struct reactor *r)
{
	if (!r)
		return NULL;
	event_base_free(r->base);
	free(r);
	return NULL;
}

static struct timeval
span(uint64_t us)
{
	return (struct timeval){ .tv_sec = (time_t)(us / CLOCK_US_PER_S),
		.tv_usec = (suseconds_t)(us % CLOCK_US_PER_S) };
}

int
reactor_run(struct reactor *r, uint64_t max_us)
{
	struct timeval tv = span(max_us);

	if (max_us > 0 && event_base_loopexit(r->base, &tv) < 0)
		return FAULT(-ENOMEM);
	if (event_base_loop(r->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
		return FAULT(-EIO);
	return 0;
}

void
reactor_stop(struct reactor *r)
{
	(void)event_base_loopbreak(r->base);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct reactor_source *s = arg;

	(void)fd;
	(void)what;
	s->fn(s->arg);
}

static int
source_new(struct reactor_source **ret, struct reactor *r, int fd, short what, const struct timeval *tv,
	reactor_fn *fn, void *arg)
{
	struct reactor_source *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->fn = fn;
	s->arg = arg;
	s->event = event_new(r->base, fd, what, on_event, s);
	if (!s->event || event_add(s->event, tv) < 0) {
		reactor_cancel(s);
		return FAULT(-ENOMEM);
	}
	*ret = s;
	return 0;
}

int
reactor_after(struct reactor_source **ret, struct reactor *r, uint64_t after_us, reactor_fn *fn, void *arg)
{
	struct timeval tv = span(after_us);

	return source_new(ret, r, -1, EV_TIMEOUT, &tv, fn, arg);
}

int
reactor_every(struct reactor_source **ret, struct reactor *r, uint64_t every_us, reactor_fn *fn, void *arg)
{
	struct timeval tv = span(every_us);

	return source_new(ret, r, -1, EV_PERSIST, &tv, fn, arg);
}

int
reactor_again(struct reactor_source *s, uint64_t after_us)
{
	struct timeval tv = span(after_us);

	return event_add(s->event, &tv) < 0 ? FAULT(-ENOMEM) : 0;
}

int
reactor_signal(struct reactor_source **ret, struct reactor *r, int signo, reactor_fn *fn, void *arg)
{
	return source_new(ret, r, signo, EV_SIGNAL | EV_PERSIST, NULL, fn, arg);
}

struct reactor_source *
reactor_cancel(struct reactor_source *s)
{
	if (!s)
		return NULL;
	if (s->event)
		event_free(s->event);
	free(s);
	return NULL;
}

struct event_base *
reactor_base(struct reactor *r)
{
	return r->base;
}
