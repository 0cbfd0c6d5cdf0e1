/* A core on trial, seen from both sides: the one that puts another on trial and makes room, and the one that proves itself. */
#include "updater/activate/core_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/spawn.h"
#include "updater/activate/core_check.h"
#include "updater/activate/core_proof.h"

/* A request to the supervisor cannot be called back. */
struct core_asking {
	struct core *core; /* NULL once cancelled */
};

static bool
give_up(struct slots *s, void *arg)
{
	const struct core_change *c = arg;
	char of[65];

	core_tree_hex(of, s, s->trial);
	return s->trial && strcmp(of, c->to) == 0 && slots_give_up(s, SLOTS_WHY_WRONG);
}

int
core_trial_give_up(struct core *core)
{
	return FAULT(slots_update(&core->slots, monitor_paths(core->m), give_up, &core->c));
}

void
core_trial_forget(struct core *core)
{
	if (core->asking)
		core->asking->core = NULL;
	core->asking = NULL;
}

/* --- the supervisor ---------------------------------------------------------------------------------------------- */
static void
on_asked(int r, pid_t pid, void *arg)
{
	struct core_asking *a = arg;
	struct core *core = a->core;

	(void)pid;
	free(a);
	if (!core)
		return;
	core->asking = NULL;
	/* 0: we are about to be ended; whether it goes on so is seen by whoever comes next. */
	if (r)
		core_advance(core, r);
}

static void
on_still_here(void *arg)
{
	struct core *core = arg;

	core_advance(core,
		REFUSE(REASON_UNREACHABLE, CORE_SERVICE, "the supervisor did not make room in %u ms", core->switch_ms));
}

int
core_trial_switch(struct core *core)
{
	struct core_asking *a = malloc(sizeof(*a));
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	a->core = core;
	r = monitor_spawner(core->m) ? spawn_switch_core(monitor_spawner(core->m), on_asked, a) : -ENOTSUP;
	if (r) {
		free(a);
		return FAULT(r);
	}
	core->asking = a;
	return FAULT(loop_after(&core->timer, monitor_loop(core->m), core->switch_ms, on_still_here, core));
}

/* --- slot, trial ------------------------------------------------------------------------------------------------- */
struct beginning {
	struct core *core;
	struct core_times times;
	int r;
};

static bool
begin_trial(struct slots *s, void *arg)
{
	struct beginning *b = arg;
	const struct core_change *c = &b->core->c;
	struct slots_tree tree = { .present = true, .counter = c->counter };

	(void)hex_decode(tree.digest, sizeof(tree.digest), c->to);
	(void)snprintf(tree.version, sizeof(tree.version), "%s", c->to_version);
	b->r = slots_begin(s, c->back ? s->previous : slots_spare(s, tree.digest), c->back ? NULL : &tree, b->times.tries,
		b->times.trial_ms, b->times.soak_ms);
	return b->r == 0;
}

/* Which services ran, so that the new core can be held to it. */
static void
note_running(struct core *core)
{
	struct services_state s;
	size_t n = 0;

	for (size_t i = 0; services_at(core->m, i, &s) && n + sizeof(s.name) + 1 < sizeof(core->c.running); i++)
		if (strcmp(s.state, "running") == 0)
			n += (size_t)snprintf(core->c.running + n, sizeof(core->c.running) - n, "%s%s", n ? " " : "",
				s.name);
}

int
core_trial_slot(struct core *core)
{
	struct beginning b = { .core = core };
	int r;

	note_running(core);
	/* The packaged core says nothing of how it is to be tried: then as the one that runs. */
	r = core_check_times(&b.times, core->m, *core->c.to ? core->c.to : core->c.from);
	r = r ?: slots_update(&core->slots, monitor_paths(core->m), begin_trial, &b);
	return r ?: b.r;
}

static bool
mark_good(struct slots *s, void *arg)
{
	struct slots_now now;

	return slots_now(&now) == 0 && slots_good(s, ((struct core *)arg)->running, SLOTS_STATE_FORMAT, &now);
}

static void
on_proved(int r, void *arg)
{
	struct core *core = arg;

	if (r == 0) {
		r = slots_update(&core->slots, monitor_paths(core->m), mark_good, core);
		if (r == 0 && core->slots.active != core->running)
			r = REFUSE(REASON_STATE_MOVED, CORE_SERVICE, "its time is up, or it is not on trial any more");
	}
	if (r == 0) {
		core_advance(core, 0);
		return;
	}
	/* We are not what is to run: say so in the journal, and let the one that was there end the change. */
	core_change_advance(&core->c, r, r > 0 ? refuse_last()->text : "fault");
	r = core_change_save(&core->c, core->journal_fd);
	r = r ?: core_trial_give_up(core);
	r = r ?: core_trial_switch(core);
	if (r < 0)
		log_fault(r, "giving up"); /* nobody marks us good: our time runs out */
}

int
core_trial_start(struct core *core)
{
	return core_proof_start(&core->proof, core->m, core->c.running, core->slots.soak_ms, on_proved, core);
}
