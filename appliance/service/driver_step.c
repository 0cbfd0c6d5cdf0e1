#include "appliance/service/driver_step.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn.h"
#include "appliance/service/state.h"

enum {
	LOOK_MS = 100,	     /* between looks at the state file while a step runs */
	START_EXTRA_MS =
		5 * 1000, /* beyond the spec's start time: the shim's own word comes first */
	AGAIN_MAX = 2,	  /* more shims asked for, where one ends without a word */
};

static void ask(struct driver_step *st);

/* *ret_pid: 0 where it is down, waiting to be started again, or nobody knows. */
static bool
find_shim(const struct driver_processes *p, const char *service, pid_t *ret_pid)
{
	SCOPED(scope_free) struct roster *r = malloc(sizeof(*r));
	const struct roster_entry *e;
	int unread = r ? roster_load(r, p->paths) : FAULT(-ENOMEM);

	*ret_pid = 0;
	if (unread < 0)
		log_fault(unread, "looking for the shim of a service");
	if (unread)
		return true; /* in doubt there is one: a second one would be refused anyway */
	e = roster_find(r, ROSTER_SHIM, service);
	*ret_pid = e ? e->pid : 0;
	return e != NULL;
}

bool
driver_step_has_shim(const struct driver_processes *p, const char *service)
{
	pid_t pid;

	return find_shim(p, service, &pid);
}

static void
free_step(struct driver_step *st)
{
	for (size_t i = 0; i < st->n_secrets; i++)
		(void)close(st->secrets[i]);
	buf_done(&st->spec);
	free(st);
}

void
driver_step_forget(struct driver_step *st)
{
	for (struct driver_step **p = &st->owner->steps; *p; p = &(*p)->next)
		if (*p == st) {
			*p = st->next;
			break;
		}
	loop_cancel(st->look);
	free_step(st);
}

void
driver_step_finish(struct driver_step *st, int r)
{
	driver_done_fn *done = st->done;
	void *arg = st->arg;

	if (st->call_out) { /* its answer still comes, and finds the step over */
		loop_cancel(st->look);
		st->over = true;
	} else {
		driver_step_forget(st);
	}
	if (done)
		done(r, arg);
}

static void on_look(void *arg);

void
driver_step_look(struct driver_step *st, uint64_t ms)
{
	if (loop_after(&st->look, st->owner->loop, ms, on_look, st) < 0)
		driver_step_finish(st, FAULT(-ENOMEM));
}

static void
begin_start(struct driver_step *st, const struct state *s)
{
	st->phase = DRIVER_PHASE_STARTING;
	st->was_started_us = s->started_us;
	st->asked = st->found = false;
	st->until_us = clock_mono_us() + (st->start_ms + START_EXTRA_MS) * CLOCK_US_PER_MS;
	ask(st);
}

static bool
is_there(const struct driver_step *st, const struct state *s)
{
	if (st->phase == DRIVER_PHASE_STOPPING || s->is != STATE_RUNNING ||
		(st->phase == DRIVER_PHASE_RELOADING && (s->reloads == st->reloads || s->reload_failed)) ||
		(st->brings && s->lost_secrets))
		return false;
	return !st->probed || s->health == STATE_HEALTH_PASSING;
}

static bool
cannot_get_there(const struct driver_step *st, const struct state *s)
{
	if (st->phase == DRIVER_PHASE_STOPPING)
		return false;
	if (st->phase == DRIVER_PHASE_RELOADING && s->reloads != st->reloads && s->reload_failed)
		return true;
	return (s->is == STATE_FAILED || s->is == STATE_STOPPED) &&
		!driver_step_has_shim(st->owner, st->service);
}

/* The shim that was found was on its way down, and is gone: now there is room for ours.  Or ours was killed before its first
 * word: the next one takes the word of the shim before, that it had stopped, for its own, and ends. */
static bool
never_began(struct driver_step *st, const struct state *s)
{
	if (st->phase != DRIVER_PHASE_STARTING || s->is != STATE_STOPPED || driver_step_has_shim(st->owner, st->service))
		return false;
	return st->found || (s->started_us == st->was_started_us && st->again++ < AGAIN_MAX);
}

/* Is the step where it wants to be, or can it not get there? */
static void
look(struct driver_step *st)
{
	struct driver_processes *p = st->owner;
	struct state s;
	pid_t shim;
	int r;

	r = state_read(&s, p->paths, st->service);
	if (r) {
		driver_step_finish(st, r);
		return;
	}
	if (st->phase == DRIVER_PHASE_STOPPING && !find_shim(p, st->service, &shim)) {
		if (st->spec.len > 0)
			begin_start(st, &s);
		else
			driver_step_finish(st, 0);
		return;
	}
	/* Killed before its service was down: the one that was started in its place knows nothing of a stop. */
	if (st->phase == DRIVER_PHASE_STOPPING && shim > 0 && shim != st->shim && clock_mono_us() < st->until_us) {
		ask(st);
		return;
	}
	if (is_there(st, &s)) {
		driver_step_finish(st, 0);
		return;
	}
	if (never_began(st, &s)) {
		begin_start(st, &s);
		return;
	}
	if (s.is == STATE_STARTING && st->probed && clock_mono_us() > st->until_us) {
		driver_step_finish(st, REFUSE(REASON_STATE_MOVED, st->service, "it runs, but its health check did not pass within %llu s%s%s",
				   (unsigned long long)(st->start_ms / 1000), *s.why ? ": " : "", s.why));
		return;
	}
	if (cannot_get_there(st, &s) || clock_mono_us() > st->until_us) {
		driver_step_finish(st,
			*s.why ? REFUSE(REASON_STATE_MOVED, st->service, "is %s, health %s: %s",
					 state_name(s.is), state_health_name(s.health), s.why)
			       : REFUSE(REASON_STATE_MOVED, st->service,
					 "is %s, health %s, last exit %d", state_name(s.is),
					 state_health_name(s.health), s.exit));
		return;
	}
	driver_step_look(st, LOOK_MS);
}

static void
on_look(void *arg)
{
	struct driver_step *st = arg;

	if (st->busy)
		driver_step_finish(st, REFUSE(REASON_BUSY, st->service, "it is being started, stopped or reloaded just now; see `mainstay service list`"));
	else if (st->phase == DRIVER_PHASE_RELOADING && !st->can_reload)
		driver_step_finish(st,
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
	struct driver_step *st = arg;

	(void)pid;
	st->call_out = false;
	if (st->over) {
		driver_step_forget(st);
		return;
	}
	st->asked = true;
	if (st->phase == DRIVER_PHASE_STOPPING && r == REASON_NOT_FOUND)
		r = 0; /* it went by itself */
	if (st->phase == DRIVER_PHASE_RELOADING && r == REASON_NOT_FOUND)
		r = REFUSE(REASON_CONFLICT, st->service, "is not running; start it instead");
	if (st->phase == DRIVER_PHASE_STARTING && r == REASON_CONFLICT) {
		st->found = true; /* it came by itself: a shim is being started again */
		r = 0;
	}
	if ((r == REASON_BUSY || r == REASON_UNREACHABLE) && clock_mono_us() < st->until_us) {
		st->asked = false; /* the supervisor, or the shim, is just coming back */
		r = 0;
	}
	if (r)
		driver_step_finish(st, r);
	else
		driver_step_look(st, LOOK_MS);
}

static void
ask(struct driver_step *st)
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

	if (st->phase == DRIVER_PHASE_STOPPING) {
		(void)find_shim(st->owner, st->service, &st->shim);
		r = spawn_stop_shim(spawner, st->service, on_asked, st);
	} else if (st->phase == DRIVER_PHASE_RELOADING) {
		r = spawn_reload_shim(spawner, st->service, on_asked, st);
	} else {
		r = fs_memfd(&fd, "spec", st->spec.data, st->spec.len);
		shim.spec = fd;
		r = r ?: spawn_shim(spawner, &shim, on_asked, st);
	}
	st->call_out = r == 0;
	if (r)
		driver_step_finish(st, FAULT(r));
}

static bool
has_step(const struct driver_processes *p, const char *service)
{
	for (const struct driver_step *st = p->steps; st; st = st->next)
		if (!st->over && !strcmp(st->service, service))
			return true;
	return false;
}

static int
take_spec(struct driver_step *st, const struct spec *spec)
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

int
driver_step_new(struct driver_processes *p, struct driver_step **ret, const char *service, const struct spec *spec,
	enum driver_phase phase, driver_done_fn *done, void *arg)
{
	struct driver_step *st = calloc(1, sizeof(*st));
	int r = 0;

	if (!st)
		return FAULT(-ENOMEM);
	*st = (struct driver_step){ .owner = p,
		.phase = phase,
		.spec = BUF_MAX(SPEC_BYTES_MAX),
		.done = done,
		.arg = arg,
		.until_us = clock_mono_us() + DRIVER_STOP_S * CLOCK_US_PER_S };
	(void)snprintf(st->service, sizeof(st->service), "%s", service);
	if (spec) {
		r = take_spec(st, spec);
		if (phase != DRIVER_PHASE_STOPPING)
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
