#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/service/driver_step.h"
#include "appliance/service/spawn.h"
#include "appliance/service/state.h"

static int
process_start(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	struct driver_processes *p = (struct driver_processes *)d;
	struct driver_step *st;
	struct state s;
	int r, known;

	known = state_read(&s, p->paths, spec->name);
	if (known < 0)
		return FAULT(known);
	r = driver_step_new(p, &st, spec->name, spec, DRIVER_PHASE_STARTING, done, arg);
	if (r)
		return r;
	st->was_started_us = s.started_us;
	st->brings = known == 0 && s.lost_secrets && spec->n_secrets > 0;
	if (!st->brings && driver_step_has_shim(p, spec->name))
		st->asked = st->found = true; /* only wait */
	return 0;
}

static int
process_stop(struct driver *d, const char *service, driver_done_fn *done, void *arg)
{
	struct driver_step *st;

	return driver_step_new((struct driver_processes *)d, &st, service, NULL, DRIVER_PHASE_STOPPING, done, arg);
}

static int
process_restart(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	struct driver_step *st;

	return driver_step_new((struct driver_processes *)d, &st, spec->name, spec, DRIVER_PHASE_STOPPING, done, arg);
}

static int
process_reload(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	struct driver_processes *p = (struct driver_processes *)d;
	struct driver_step *st;
	struct state s;
	int r;

	r = state_read(&s, p->paths, spec->name);
	if (r < 0)
		return FAULT(r);
	r = driver_step_new(p, &st, spec->name, spec, DRIVER_PHASE_RELOADING, done, arg);
	if (r == 0)
		st->reloads = s.reloads;
	return r;
}

/* A stop alone goes on: it wants what whoever asks this wants. */
static bool
process_give_up(struct driver *d, const char *service)
{
	struct driver_processes *p = (struct driver_processes *)d;

	for (struct driver_step *st = p->steps; st; st = st->next) {
		bool stops = st->phase == DRIVER_PHASE_STOPPING && st->spec.len == 0;

		if (st->over || st->busy || stops || strcmp(st->service, service) != 0)
			continue;
		driver_step_finish(st, REFUSE(REASON_INTERRUPTED, service, "it was told to stop before it was there"));
		return true;
	}
	return false;
}

static struct driver *
process_free(struct driver *d)
{
	struct driver_processes *p = (struct driver_processes *)d;

	spawn_on_exited(p->spawner, NULL, NULL);
	while (p->steps) /* the spawner is not turned any more: no answer comes */
		driver_step_forget(p->steps);
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
	struct driver_processes *p = arg;

	(void)pid;
	(void)status;
	if (kind != SPAWN_SHIM)
		return;
	for (struct driver_step *st = p->steps; st; st = st->next)
		if (!st->over && !strcmp(st->service, name) && st->asked) {
			driver_step_look(st, 0); /* from the loop: the spawner is in the middle of what it was told */
			return;
		}
}

int
driver_process_new(struct driver **ret, sd_event *loop, const struct paths *paths,
	struct spawner *spawner)
{
	struct driver_processes *p = calloc(1, sizeof(*p));

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
