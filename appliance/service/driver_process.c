#include "appliance/service/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn.h"
#include "appliance/service/spec.h"
#include "appliance/service/state.h"

enum {
	LOOK_MS = 100,	     /* between looks at the state file while a step runs */
	START_EXTRA_MS =
		5 * 1000, /* beyond the spec's start time: the shim's own word comes first */
	AGAIN_MAX = 2,	  /* more shims asked for, where one ends without a word */
};

enum phase {
	PHASE_STOPPING,	 /* the shim was asked to stop; waits until it is gone */
	PHASE_STARTING,	 /* a shim was asked for; waits for running */
	PHASE_RELOADING, /* the shim was asked to; waits for its count, then for health */
};

/* One step of one service. */
struct step {
	struct step *next;
	struct processes *owner;
	enum phase phase;
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

struct processes {
	struct driver base;
	sd_event *loop;
	const struct paths *paths;
	struct spawner *spawner;
	struct step *steps;
};

static void ask(struct step *st);

/* *ret_pid: 0 where it is down, waiting to be started again, or nobody knows. */
static bool
find_shim(const struct processes *p, const char *service, pid_t *ret_pid)
{
	SCOPED(scope_free) struct roster *r = malloc(sizeof(*r));
	const struct roster_entry *e;

	*ret_pid = 0;
	if (!r || roster_load(r, p->paths))
		return true; /* in doubt there is one: a second one would be refused anyway */
	e = roster_find(r, ROSTER_SHIM, service);
	*ret_pid = e ? e->pid : 0;
	return e != NULL;
}

static bool
has_shim(const struct processes *p, const char *service)
{
	pid_t pid;

	return find_shim(p, service, &pid);
}

static void
free_step(struct step *st)
{
	for (size_t i = 0; i < st->n_secrets; i++)
		(void)close(st->secrets[i]);
	buf_done(&st->spec);
	free(st);
}

static void
forget(struct step *st)
{
	for (struct step **p = &st->owner->steps; *p; p = &(*p)->next)
		if (*p == st) {
			*p = st->next;
			break;
		}
	loop_cancel(st->look);
	free_step(st);
}

static void
finish(struct step *st, int r)
{
	driver_done_fn *done = st->done;
	void *arg = st->arg;

	if (st->call_out) { /* its answer still comes, and finds the step over */
		loop_cancel(st->look);
		st->over = true;
	} else {
		forget(st);
	}
	if (done)
		done(r, arg);
}

static void on_look(void *arg);

static void
look_later(struct step *st, uint64_t ms)
{
	if (loop_after(&st->look, st->owner->loop, ms, on_look, st) < 0)
		finish(st, FAULT(-ENOMEM));
}

static void
begin_start(struct step *st, const struct state *s)
{
	st->phase = PHASE_STARTING;
	st->was_started_us = s->started_us;
	st->asked = st->found = false;
	st->until_us = clock_mono_us() + (st->start_ms + START_EXTRA_MS) * CLOCK_US_PER_MS;
	ask(st);
}

static bool
is_there(const struct step *st, const struct state *s)
{
	if (st->phase == PHASE_STOPPING || s->is != STATE_RUNNING ||
		(st->phase == PHASE_RELOADING && (s->reloads == st->reloads || s->reload_failed)) ||
		(st->brings && s->lost_secrets))
		return false;
	return !st->probed || s->health == STATE_HEALTH_PASSING;
}

static bool
cannot_get_there(const struct step *st, const struct state *s)
{
	if (st->phase == PHASE_STOPPING)
		return false;
	if (st->phase == PHASE_RELOADING && s->reloads != st->reloads && s->reload_failed)
		return true;
	return (s->is == STATE_FAILED || s->is == STATE_STOPPED) &&
		!has_shim(st->owner, st->service);
}

/* The shim that was found was on its way down, and is gone: now there is room for ours.  Or ours was killed before its first
 * word: the next one takes the word of the shim before, that it had stopped, for its own, and ends. */
static bool
never_began(struct step *st, const struct state *s)
{
	if (st->phase != PHASE_STARTING || s->is != STATE_STOPPED || has_shim(st->owner, st->service))
		return false;
	return st->found || (s->started_us == st->was_started_us && st->again++ < AGAIN_MAX);
}

/* Is the step where it wants to be, or can it not get there? */
static void
look(struct step *st)
{
	struct processes *p = st->owner;
	struct state s;
	pid_t shim;
	int r;

	r = state_read(&s, p->paths, st->service);
	if (r) {
		finish(st, r);
		return;
	}
	if (st->phase == PHASE_STOPPING && !find_shim(p, st->service, &shim)) {
		if (st->spec.len > 0)
			begin_start(st, &s);
		else
			finish(st, 0);
		return;
	}
	/* Killed before its service was down: the one that was started in its place knows nothing of a stop. */
	if (st->phase == PHASE_STOPPING && shim > 0 && shim != st->shim && clock_mono_us() < st->until_us) {
		ask(st);
		return;
	}
	if (is_there(st, &s)) {
		finish(st, 0);
		return;
	}
	if (never_began(st, &s)) {
		begin_start(st, &s);
		return;
	}
	if (s.is == STATE_STARTING && st->probed && clock_mono_us() > st->until_us) {
		finish(st, REFUSE(REASON_STATE_MOVED, st->service, "it runs, but its health check did not pass within %llu s%s%s",
				   (unsigned long long)(st->start_ms / 1000), *s.why ? ": " : "", s.why));
		return;
	}
	if (cannot_get_there(st, &s) || clock_mono_us() > st->until_us) {
		finish(st,
			*s.why ? REFUSE(REASON_STATE_MOVED, st->service, "is %s, health %s: %s",
					 state_name(s.is), state_health_name(s.health), s.why)
			       : REFUSE(REASON_STATE_MOVED, st->service,
					 "is %s, health %s, last exit %d", state_name(s.is),
					 state_health_name(s.health), s.exit));
		return;
	}
	look_later(st, LOOK_MS);
}

static void
on_look(void *arg)
{
	struct step *st = arg;

	if (st->busy)
		finish(st, REFUSE(REASON_BUSY, st->service, "it is being started, stopped or reloaded just now; see `mainstay service list`"));
	else if (st->phase == PHASE_RELOADING && !st->can_reload)
		finish(st,
			REFUSE(REASON_CONFLICT, st->service,
				"its definition knows no reload; restart it instead"));
	else if (!st->asked)
		ask(st);
	else
		look(st);
}

static void
on_asked(int r, pid_t pid, void *arg)
{
	struct step *st = arg;

	(void)pid;
	st->call_out = false;
	if (st->over) {
		forget(st);
		return;
	}
	st->asked = true;
	if (st->phase == PHASE_STOPPING && r == REASON_NOT_FOUND)
		r = 0; /* it went by itself */
	if (st->phase == PHASE_RELOADING && r == REASON_NOT_FOUND)
		r = REFUSE(REASON_CONFLICT, st->service, "is not running; start it instead");
	if (st->phase == PHASE_STARTING && r == REASON_CONFLICT) {
		st->found = true; /* it came by itself: a shim is being started again */
		r = 0;
	}
	if ((r == REASON_BUSY || r == REASON_UNREACHABLE) && clock_mono_us() < st->until_us) {
		st->asked = false; /* the supervisor, or the shim, is just coming back */
		r = 0;
	}
	if (r)
		finish(st, r);
	else
		look_later(st, LOOK_MS);
}

static void
ask(struct step *st)
{
	struct spawner *spawner = st->owner->spawner;
	SCOPED(scope_close) int fd = -1;
	struct spawn_shim shim = { .service = st->service,
		.secrets = st->secrets,
		.n_secrets = st->n_secrets,
		.memory = st->memory,
		.processes = st->processes,
		.cpu_milli = st->cpu_milli };
	int r;

	if (st->phase == PHASE_STOPPING) {
		(void)find_shim(st->owner, st->service, &st->shim);
		r = spawn_stop_shim(spawner, st->service, on_asked, st);
	} else if (st->phase == PHASE_RELOADING) {
		r = spawn_reload_shim(spawner, st->service, on_asked, st);
	} else {
		r = fs_memfd(&fd, "spec", st->spec.data, st->spec.len);
		shim.spec = fd;
		r = r ?: spawn_shim(spawner, &shim, on_asked, st);
	}
	st->call_out = r == 0;
	if (r)
		finish(st, FAULT(r));
}

static bool
has_step(const struct processes *p, const char *service)
{
	for (const struct step *st = p->steps; st; st = st->next)
		if (!st->over && !strcmp(st->service, service))
			return true;
	return false;
}

static int
take_spec(struct step *st, const struct spec *spec)
{
	st->probed = spec->health != SPEC_HEALTH_NONE;
	st->start_ms = spec->start_timeout_ms + (*spec->prepare ? spec->prepare_timeout_ms : 0);
	st->can_reload = spec->reload_signal || *spec->reload;
	st->memory = spec->memory;
	st->processes = spec->processes;
	st->cpu_milli = spec->cpu_milli;
	for (size_t i = 0; i < spec->n_secrets; i++) {
		st->secrets[i] = fcntl(spec->secrets[i].fd, F_DUPFD_CLOEXEC, 3);
		if (st->secrets[i] < 0)
			return FAULT(-errno);
		st->n_secrets++;
	}
	return FAULT(spec_encode(&st->spec, spec));
}

/* A new step, which begins at the loop's next turn. */
static int
new_step(struct processes *p, struct step **ret, const char *service, const struct spec *spec,
	enum phase phase, driver_done_fn *done, void *arg)
{
	struct step *st = calloc(1, sizeof(*st));
	int r = 0;

	if (!st)
		return FAULT(-ENOMEM);
	*st = (struct step){ .owner = p,
		.phase = phase,
		.spec = BUF_MAX(SPEC_BYTES_MAX),
		.done = done,
		.arg = arg,
		.until_us = clock_mono_us() + DRIVER_STOP_S * CLOCK_US_PER_S };
	(void)snprintf(st->service, sizeof(st->service), "%s", service);
	if (spec) {
		r = take_spec(st, spec);
		if (phase != PHASE_STOPPING)
			st->until_us =
				clock_mono_us() + (st->start_ms + START_EXTRA_MS) * CLOCK_US_PER_MS;
	}
	st->busy = has_step(p, service);
	r = r ?: loop_after(&st->look, p->loop, 0, on_look, st);
	if (r) {
		loop_cancel(st->look);
		free_step(st);
		return FAULT(r);
	}
	st->next = p->steps;
	p->steps = st;
	*ret = st;
	return 0;
}

static int
process_start(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	struct processes *p = (struct processes *)d;
	struct step *st;
	struct state s;
	int r, known;

	known = state_read(&s, p->paths, spec->name);
	if (known < 0)
		return FAULT(known);
	r = new_step(p, &st, spec->name, spec, PHASE_STARTING, done, arg);
	if (r)
		return r;
	st->was_started_us = s.started_us;
	st->brings = known == 0 && s.lost_secrets && spec->n_secrets > 0;
	if (!st->brings && has_shim(p, spec->name))
		st->asked = st->found = true; /* only wait */
	return 0;
}

static int
process_stop(struct driver *d, const char *service, driver_done_fn *done, void *arg)
{
	struct step *st;

	return new_step((struct processes *)d, &st, service, NULL, PHASE_STOPPING, done, arg);
}

static int
process_restart(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	struct step *st;

	return new_step((struct processes *)d, &st, spec->name, spec, PHASE_STOPPING, done, arg);
}

static int
process_reload(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	struct processes *p = (struct processes *)d;
	struct step *st;
	struct state s;
	int r;

	r = state_read(&s, p->paths, spec->name);
	if (r < 0)
		return FAULT(r);
	r = new_step(p, &st, spec->name, spec, PHASE_RELOADING, done, arg);
	if (r == 0)
		st->reloads = s.reloads;
	return r;
}

/* A stop alone goes on: it wants what whoever asks this wants. */
static bool
process_give_up(struct driver *d, const char *service)
{
	struct processes *p = (struct processes *)d;

	for (struct step *st = p->steps; st; st = st->next) {
		bool stops = st->phase == PHASE_STOPPING && st->spec.len == 0;

		if (st->over || st->busy || stops || strcmp(st->service, service) != 0)
			continue;
		finish(st, REFUSE(REASON_INTERRUPTED, service, "it was told to stop before it was there"));
		return true;
	}
	return false;
}

static struct driver *
process_free(struct driver *d)
{
	struct processes *p = (struct processes *)d;

	spawn_on_exited(p->spawner, NULL, NULL);
	while (p->steps) /* the spawner is not turned any more: no answer comes */
		forget(p->steps);
	sd_event_unref(p->loop);
	free(p);
	return NULL;
}

static const struct driver_ops ops = { .start = process_start,
	.stop = process_stop,
	.restart = process_restart,
	.reload = process_reload,
	.give_up = process_give_up,
	.free = process_free };

static void
on_exited(enum spawn_kind kind, const char *name, pid_t pid, int status, void *arg)
{
	struct processes *p = arg;

	(void)pid;
	(void)status;
	if (kind != SPAWN_SHIM)
		return;
	for (struct step *st = p->steps; st; st = st->next)
		if (!st->over && !strcmp(st->service, name) && st->asked) {
			look_later(st, 0); /* from the loop: the spawner is in the middle of what it was told */
			return;
		}
}

int
driver_process_new(struct driver **ret, sd_event *loop, const struct paths *paths,
	struct spawner *spawner)
{
	struct processes *p = calloc(1, sizeof(*p));

	if (!p)
		return FAULT(-ENOMEM);
	p->base.ops = &ops;
	p->loop = sd_event_ref(loop);
	p->paths = paths;
	p->spawner = spawner;
	spawn_on_exited(spawner, on_exited, p);
	*ret = &p->base;
	return 0;
}
