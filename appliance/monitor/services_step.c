/* Services' steps: from what is wanted and the release that is active to the driver. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/driver.h"
#include "appliance/service/launch.h"

/* --- definition and knobs ------------------------------------------------------------------------ */
int
services_definition(struct monitor *m, const char *name, struct definition **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	const struct lock_entry *active = lock_find(&m->services->lock, name);
	char path[sizeof(m->paths.lib) + 128];
	int r;

	if (!active)
		return REFUSE(REASON_NOT_FOUND, name, "no release of it is active");
	/* Written by activation alone, from what was signed. */
	(void)snprintf(path, sizeof(path), "%s/store/%s.definition.json", m->paths.lib,
		active->release);
	r = fs_read(AT_FDCWD, path, DEFINITION_BYTES_MAX, &b);
	if (r > 0)
		return REFUSE(r, name, "the definition of its release cannot be read");
	return r < 0 ? FAULT(r) : definition_read(ret, b.data, b.len);
}

/* What cluster.yaml gives, typed by the definition. */
int
services_given(
	const struct services *s, const struct definition *d, const char *name, json_t **ret)
{
	return launch_knobs(d, s->cluster ? cluster_find(s->cluster, name) : NULL, ret);
}

int
services_knobs(struct monitor *m, const char *name, json_t **ret)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *given = NULL;
	int r = services_definition(m, name, &d);

	r = r ?: services_given(m->services, d, name, &given);
	r = r ?: definition_check_knobs(d, given, ret);
	return r < 0 ? FAULT(r) : r;
}

static int
make_spec(struct monitor *m, const char *name, struct spec *ret)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *given = NULL;
	const struct lock_entry *active;
	int r = services_definition(m, name, &d);

	spec_init(ret);
	r = r ?: services_given(m->services, d, name, &given);
	if (r)
		return r;
	active = lock_find(&m->services->lock, name);
	return launch_prepare(ret, &m->paths, &m->id, d, active->release, given);
}

/* --- steps --------------------------------------------------------------------------------------- */
struct services_step {
	struct services_step *next;
	struct monitor *m;
	char name[SERVICES_NAME_MAX + 1];
	bool yields; /* to a person's stop */
	services_done_fn *done; /* NULL: who asked has gone */
	void *arg;
	struct loop_timer *later;
	struct refusal why; /* of a step that was refused before it began */
};

static void
take_out(struct services_step **at, const struct services_step *step)
{
	while (*at && *at != step)
		at = &(*at)->next;
	if (*at)
		*at = step->next;
}

static void
end_step(struct services_step *step, int r)
{
	services_done_fn *done = step->done;
	void *arg = step->arg;

	monitor_changed(step->m, MONITOR_CHANGE_SERVICE);
	monitor_statement_soon(step->m);
	take_out(&step->m->services->steps, step);
	take_out(&step->m->services->refused, step);
	loop_cancel(step->later);
	free(step);
	if (done)
		done(r, arg);
}

static void
on_stepped(int r, void *arg)
{
	end_step(arg, r);
}

static void
on_later(void *arg)
{
	struct services_step *step = arg;
	struct refusal why = step->why;

	end_step(step, refuse_relay(why.reason, why.operand, why.place, why.text));
}

static void
free_all(struct services_step *steps)
{
	struct services_step *next;

	for (; steps; steps = next) {
		next = steps->next;
		loop_cancel(steps->later);
		free(steps);
	}
}

void
services_steps_free(struct services *s)
{
	free_all(s->steps);
	free_all(s->refused);
	s->steps = s->refused = NULL;
}

/* done runs from the loop, also where the answer is known at once. */
static int
refuse_later(struct services_step *step, int r)
{
	step->why = *refuse_last();
	if (r < 0 || loop_after(&step->later, step->m->loop, 0, on_later, step) < 0) {
		free(step);
		return FAULT(r < 0 ? r : -ENOMEM);
	}
	step->next = step->m->services->refused;
	step->m->services->refused = step;
	return 0;
}

static int
take_step(struct monitor *m, const char *name, enum definition_verb what, bool yields, services_done_fn *done, void *arg)
{
	SCOPED(spec_done) struct spec spec;
	struct driver *driver = m->services->driver;
	struct services_step *step = calloc(1, sizeof(*step));
	int r = 0;

	spec_init(&spec);
	if (!step)
		return FAULT(-ENOMEM);
	*step = (struct services_step){ .m = m, .yields = yields, .done = done, .arg = arg };
	(void)snprintf(step->name, sizeof(step->name), "%s", name);
	if (!driver)
		r = REFUSE(REASON_BUSY, name, "nothing here can start services");
	else if (!lock_find(&m->services->lock, name))
		r = REFUSE(REASON_NOT_FOUND, name, "no release of it is active");
	else if (what != DEFINITION_VERB_STOP)
		r = make_spec(m, name, &spec);
	if (r)
		return refuse_later(step, r);
	if (what == DEFINITION_VERB_START)
		r = driver_start(driver, &spec, on_stepped, step);
	else if (what == DEFINITION_VERB_STOP)
		r = driver_stop(driver, name, on_stepped, step);
	else if (what == DEFINITION_VERB_RELOAD)
		r = driver_reload(driver, &spec, on_stepped, step);
	else
		r = driver_restart(driver, &spec, on_stepped, step);
	if (r)
		return refuse_later(step, r);
	if (what != DEFINITION_VERB_START)
		services_left_not(m->services, name);
	step->next = m->services->steps;
	m->services->steps = step;
	return 0;
}

int
services_start(struct monitor *m, const char *name, services_done_fn *done, void *arg)
{
	return take_step(m, name, DEFINITION_VERB_START, false, done, arg);
}

int
services_stop(struct monitor *m, const char *name, services_done_fn *done, void *arg)
{
	return take_step(m, name, DEFINITION_VERB_STOP, false, done, arg);
}

int
services_restart(struct monitor *m, const char *name, services_done_fn *done, void *arg)
{
	return take_step(m, name, DEFINITION_VERB_RESTART, false, done, arg);
}

int
services_take_up(struct monitor *m, const char *name, services_done_fn *done, void *arg)
{
	return take_step(m, name, DEFINITION_VERB_RELOAD, false, done, arg);
}

/* --- those that a person's stop ends ------------------------------------------------------------- */
int
services_step_yielding(struct monitor *m, const char *name, enum definition_verb verb, services_done_fn *done, void *arg)
{
	return take_step(m, name, verb, verb != DEFINITION_VERB_STOP, done, arg);
}

static void
leave(struct services_step *steps, services_done_fn *done, const void *arg)
{
	for (struct services_step *step = steps; step; step = step->next)
		if (step->done == done && step->arg == arg)
			step->done = NULL;
}

void
services_leave(struct monitor *m, services_done_fn *done, const void *arg)
{
	leave(m->services->steps, done, arg);
	leave(m->services->refused, done, arg);
}

enum services_step_is
services_step_is(const struct monitor *m, const char *name)
{
	for (const struct services_step *step = m->services->steps; step; step = step->next)
		if (strcmp(step->name, name) == 0)
			return step->yields ? SERVICES_STEP_YIELDS : SERVICES_STEP_BUSY;
	return SERVICES_STEP_NONE;
}

void
services_step_give_way(struct monitor *m, const char *name)
{
	if (services_step_is(m, name) == SERVICES_STEP_YIELDS && m->services->driver)
		(void)driver_give_up(m->services->driver, name);
}
