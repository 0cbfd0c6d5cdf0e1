/* The hub's event loop: libevent's base behind timers, signals and children, so that only this file and
 * http_server.c know libevent.
 *
 * Callbacks run from reactor_run(), one at a time, never from inside the call that set them up. */
#pragma once

#include <stdint.h>

struct event_base;
struct reactor;
struct reactor_source; /* one timer or signal; opaque */

typedef void reactor_fn(void *arg);

int reactor_new(struct reactor **ret);
struct reactor *reactor_free(struct reactor *r); /* sources must be gone before; NULL is taken */

/* Run callbacks until reactor_stop(), or until max_us have passed where max_us > 0.  Returns 0 or a
 * fault. */
int reactor_run(struct reactor *r, uint64_t max_us);
void reactor_stop(struct reactor *r);

/* fn(arg) once, after_us from now.  *ret is the caller's until reactor_cancel(), also after it ran. */
int reactor_after(struct reactor_source **ret, struct reactor *r, uint64_t after_us, reactor_fn *fn,
	void *arg);
/* The same, again and again. */
int reactor_every(struct reactor_source **ret, struct reactor *r, uint64_t every_us, reactor_fn *fn,
	void *arg);
/* Start a one-shot timer anew. */
int reactor_again(struct reactor_source *s, uint64_t after_us);
/* fn(arg) whenever the process gets this signal. */
int reactor_signal(struct reactor_source **ret, struct reactor *r, int signo, reactor_fn *fn, void *arg);
/* Forget it: fn runs no more.  Safe from inside its own callback.  NULL is taken; returns NULL. */
struct reactor_source *reactor_cancel(struct reactor_source *s);

struct event_base *reactor_base(struct reactor *r); /* for http_server.c */
