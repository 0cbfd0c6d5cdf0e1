/* The change of the core, on the monitor's loop: core_change.h. */
#include "updater/activate/core_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/spawn.h"
#include "appliance/supervise/slots.h"
#include "appliance/tree/index.h"
#include "updater/activate/core_approved.h"
#include "updater/activate/core_check.h"
#include "updater/activate/core_proof.h"
#include "updater/activate/core_room.h"
#include "updater/activate/worker.h"

enum { SWITCH_MS = 30 * 1000 };

/* A request to the supervisor cannot be called back. */
struct core_asking {
	struct core *core; /* NULL once cancelled */
};

static void take_step(struct core *core);

/* --- what runs ------------------------------------------------------------------------------------------------- */
static void
tree_hex(char out[65], const struct slots *s, enum slots_slot slot)
{
	const struct slots_tree *t = slots_tree(s, slot);

	*out = '\0';
	if (t)
		hex_encode(out, t->digest, sizeof(t->digest));
}

static const char *
slot_version(const struct slots *s, enum slots_slot slot)
{
	const struct slots_tree *t = slots_tree(s, slot);

	return t ? t->version : s->packaged;
}

static int
read_slots(struct core *core)
{
	SCOPED(scope_close) int fd = -1;
	int r = slots_open(&fd, monitor_paths(core->m));

	return FAULT(r ?: slots_load(&core->slots, fd));
}

bool
core_change_running(const struct core *core)
{
	return core->changing;
}

const char *
core_hex(const struct core *core)
{
	return core->hex;
}

uint64_t
core_counter(const struct core *core)
{
	const struct slots_tree *t = slots_tree(&core->slots, core->running);

	return t ? t->counter : 0;
}

bool
core_keeps(const struct core *core, const char *hex)
{
	char of[65];

	for (enum slots_slot slot = SLOTS_A; slot <= SLOTS_B; slot++) {
		tree_hex(of, &core->slots, slot);
		if (*of && strcmp(of, hex) == 0)
			return true;
	}
	return core->changing && strcmp(core->c.to, hex) == 0;
}

json_t *
core_json(const struct core *core)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:i, s:s, s:s}", "version", MAINSTAY_VERSION, "slot",
		slots_text(core->running), "release", core->hex, "counter", (json_int_t)core_counter(core), "tries",
		(int)core->slots.tries, "trial", slots_text(core->slots.trial), "previous",
		slots_text(core->slots.previous));

	if (o && core->changing)
		(void)json_object_set_new(o, "change",
			json_pack("{s:s, s:s, s:s}", "to", core->c.to_version, "step",
				core_step_text(core->c.step), "waits",
				core->proof ? core_proof_waits(core->proof) : ""));
	return o;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */
static void
put_down(struct core *core)
{
	if (core->asking)
		core->asking->core = NULL;
	core->asking = NULL;
	worker_cancel(core->worker);
	core_proof_cancel(core->proof);
	loop_cancel(core->timer);
	buf_done(&core->index);
}

static bool
give_up(struct slots *s, void *arg)
{
	const struct core_change *c = arg;
	char of[65];

	tree_hex(of, s, s->trial);
	return s->trial && strcmp(of, c->to) == 0 && slots_give_up(s, SLOTS_WHY_WRONG);
}

static int
leaf(struct core *core, const char *kind)
{
	uint8_t digest[32];

	return monitor_leaf(core->m, kind, "mainstayd", CORE_SERVICE,
		hex_decode(digest, sizeof(digest), core->c.to) ? digest : NULL, core->c.reason);
}

static void
end(struct core *core)
{
	struct core_change c = core->c;
	int r;

	if (c.step == CORE_ROLLED_BACK) {
		r = slots_update(&core->slots, monitor_paths(core->m), give_up, &c);
		if (r < 0)
			log_fault(r, "ending the trial");
		r = leaf(core, "rollback");
		if (r < 0)
			log_fault(r, "rollback leaf");
	}
	core->ops->ended(&c, core->arg);
	r = core_change_clear(core->journal_fd);
	if (r < 0)
		log_fault(r, "journal");
	put_down(core);
	core->changing = false;
	(void)read_slots(core);
	monitor_statement_soon(core->m);
	core->ops->over(&c, core->arg);
}

/* --- going on ---------------------------------------------------------------------------------------------------- */
static void
on_turn(void *arg)
{
	take_step(arg);
}

static void
advance(struct core *core, int r)
{
	const char *text = r > 0 ? refuse_last()->text : "fault";

	if (r < 0)
		log_fault(r, core_step_text(core->c.step));
	core_change_advance(&core->c, r, text);
	r = core_change_save(&core->c, core->journal_fd);
	if (r < 0)
		log_fault(r, "journal"); /* the step is taken again after a restart, which each step allows */
	(void)loop_after(&core->timer, monitor_loop(core->m), 0, on_turn, core);
}

static void
on_staged(int r, const struct stage_result *result, void *arg)
{
	(void)result;
	advance(arg, r);
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
		advance(core, r);
}

static void
on_still_here(void *arg)
{
	struct core *core = arg;

	advance(core,
		REFUSE(REASON_UNREACHABLE, CORE_SERVICE, "the supervisor did not make room in %u ms", core->switch_ms));
}

static int
ask_switch(struct core *core)
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

static int
step_slot(struct core *core)
{
	struct beginning b = { .core = core };
	int r;

	note_running(core);
	/* The packaged core says nothing of how it is to be tried: then as the one that runs. */
	r = core_check_times(&b.times, core->m, *core->c.to ? core->c.to : core->c.from);
	r = r ?: slots_update(&core->slots, monitor_paths(core->m), begin_trial, &b);
	return r ?: b.r;
}

static int
step_check(struct core *core)
{
	uint8_t digest[32];

	if (!core->c.back && (!hex_decode(digest, sizeof(digest), core->c.to) ||
		!core_approved_has(monitor_dir(core->m), digest)))
		return REFUSE(REASON_NOT_APPROVED, CORE_SERVICE,
			"a core release needs its owners' signature: mainstay update approve sha256:%s", core->c.to);
	return *core->c.to ? core_check_release(core->m, core->c.to) : 0;
}

static bool
mark_good(struct slots *s, void *arg)
{
	return slots_good(s, ((struct core *)arg)->running);
}

static void
on_proved(int r, void *arg)
{
	struct core *core = arg;

	if (r == 0) {
		r = slots_update(&core->slots, monitor_paths(core->m), mark_good, core);
		if (r == 0 && core->slots.active != core->running)
			r = REFUSE(REASON_STATE_MOVED, CORE_SERVICE, "it is not on trial any more");
	}
	if (r == 0) {
		advance(core, 0);
		return;
	}
	/* We are not what is to run: say so in the journal, and let the one that was there end the change. */
	core_change_advance(&core->c, r, r > 0 ? refuse_last()->text : "fault");
	r = core_change_save(&core->c, core->journal_fd);
	r = r ?: slots_update(&core->slots, monitor_paths(core->m), give_up, &core->c);
	r = r ?: ask_switch(core);
	if (r < 0)
		log_fault(r, "giving up"); /* nobody marks us good: our time runs out */
}

static int
step_trial(struct core *core)
{
	return core_proof_start(&core->proof, core->m, core->c.running, core->slots.soak_ms, on_proved, core);
}

/* --- the steps --------------------------------------------------------------------------------------------------- */
static int
begin(struct core *core, bool *later)
{
	switch (core->c.step) {
	case CORE_STAGE:
		if (core->c.back)
			return 0;
		*later = true;
		return worker_stage(&core->worker, core->m, core->index.data, core->index.len, on_staged, core);
	case CORE_CHECK:
		return step_check(core);
	case CORE_SLOT:
		return step_slot(core);
	case CORE_SWITCH:
		*later = true;
		return ask_switch(core);
	case CORE_TRIAL:
		*later = true;
		return step_trial(core);
	case CORE_COMMIT:
		return leaf(core, "activate");
	case CORE_GOOD:
	case CORE_ROLLED_BACK:
	case CORE_STEP_MAX:
		break;
	}
	return 0;
}

static void
take_step(struct core *core)
{
	bool later = false;
	int r;

	if (core->c.step >= CORE_GOOD) {
		end(core);
		return;
	}
	log_info("core: %s -> %s: %s", core->c.from_version, core->c.to_version, core_step_text(core->c.step));
	core->ops->stepped(&core->c, core->arg);
	r = begin(core, &later);
	if (r != 0 || !later)
		advance(core, r);
}

static int
begin_change(struct core *core, const struct core_change *c, const void *index, size_t len)
{
	int r;

	core->c = *c;
	core->index = BUF_MAX(TREE_INDEX_BYTES_MAX);
	buf_put(&core->index, index, len);
	r = buf_error(&core->index);
	r = r ?: core_change_save(&core->c, core->journal_fd);
	r = r ?: loop_after(&core->timer, monitor_loop(core->m), 0, on_turn, core);
	if (r < 0) {
		put_down(core);
		return FAULT(r);
	}
	core->changing = true;
	return 0;
}

static void
fill_from(struct core_change *c, const struct core *core)
{
	(void)snprintf(c->from, sizeof(c->from), "%s", core->hex);
	(void)snprintf(c->from_version, sizeof(c->from_version), "%.64s", MAINSTAY_VERSION);
	c->started_us = clock_now_us();
}

int
core_change_start(struct core *core, const struct core_release *rel)
{
	struct core_change c = { .step = CORE_STAGE, .counter = rel->counter };
	uint8_t digest[32];
	int r;

	if (core->changing)
		return REFUSE(REASON_BUSY, CORE_SERVICE, "a change of the core is under way");
	if (!hex_decode(digest, sizeof(digest), rel->hex) || !core_approved_has(monitor_dir(core->m), digest))
		return REFUSE(REASON_NOT_APPROVED, CORE_SERVICE,
			"a core release needs its owners' signature: mainstay update approve sha256:%s", rel->hex);
	r = read_slots(core);
	if (r)
		return FAULT(r);
	if (strcmp(rel->hex, core->hex) == 0)
		return REFUSE(REASON_CONFLICT, CORE_SERVICE, "this release of the core runs already");
	if (rel->counter < core_counter(core))
		return REFUSE(REASON_ROLLBACK, CORE_SERVICE, "its counter %llu is below %llu, which runs",
			(unsigned long long)rel->counter, (unsigned long long)core_counter(core));
	fill_from(&c, core);
	(void)snprintf(c.to, sizeof(c.to), "%s", rel->hex);
	(void)snprintf(c.to_version, sizeof(c.to_version), "%s", rel->version);
	return begin_change(core, &c, rel->index, rel->len);
}

int
core_change_back(struct core *core)
{
	struct core_change c = { .step = CORE_STAGE, .back = true };
	const struct slots_tree *t;
	int r;

	if (core->changing)
		return REFUSE(REASON_BUSY, CORE_SERVICE, "a change of the core is under way");
	r = read_slots(core);
	if (r)
		return FAULT(r);
	if (core->slots.previous == SLOTS_NONE)
		return REFUSE(REASON_NOT_FOUND, CORE_SERVICE, "no other core ran before this one");
	fill_from(&c, core);
	t = slots_tree(&core->slots, core->slots.previous);
	tree_hex(c.to, &core->slots, core->slots.previous);
	(void)snprintf(c.to_version, sizeof(c.to_version), "%s", slot_version(&core->slots, core->slots.previous));
	c.counter = t ? t->counter : 0;
	return begin_change(core, &c, "", 0);
}

/* --- after a start ----------------------------------------------------------------------------------------------- */
/* What the slots and the program that we are say of a change that another process began. */
static void
find_step(struct core *core)
{
	struct core_change *c = &core->c;
	const struct slots *s = &core->slots;
	bool ours = strcmp(core->hex, c->to) == 0;
	char text[CORE_TEXT_MAX];

	if (c->step >= CORE_COMMIT)
		return;
	if (ours && s->trial == core->running && c->step >= CORE_SLOT) {
		c->step = CORE_TRIAL;
		return;
	}
	if (ours && s->active == core->running && c->step >= CORE_SLOT) {
		c->step = CORE_COMMIT;
		return;
	}
	if (c->step >= CORE_SLOT && s->failed) {
		(void)snprintf(text, sizeof(text), "%s", slots_why_text(s->why));
		core_change_advance(c, REASON_STATE_MOVED, text);
		return;
	}
	core_change_advance(c, REASON_INTERRUPTED, "the monitor ended before the other core was started");
}

static int
on_start(struct monitor *m, void *arg)
{
	struct core *core = arg;
	struct core_change c;
	int r;

	(void)m;
	r = core_change_load(&c, core->journal_fd);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r)
		return r;
	core->c = c;
	find_step(core);
	c = core->c;
	log_info("core: going on with the change to %s at step %s", c.to_version, core_step_text(c.step));
	return begin_change(core, &c, "", 0);
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	(void)m;
	(void)json_object_set_new(status, "core", core_json(arg));
}

static void
core_free(void *arg)
{
	struct core *core = arg;

	put_down(core);
	free(core);
}

static const struct monitor_module module = {
	.name = "core",
	.start = on_start,
	.status = on_status,
	.free = core_free,
};

int
core_open(struct core **ret, struct monitor *m, int journal_fd, const struct core_ops *ops, void *arg)
{
	struct core *core = calloc(1, sizeof(*core));
	int r;

	if (!core)
		return FAULT(-ENOMEM);
	core->m = m;
	core->journal_fd = journal_fd;
	core->ops = ops;
	core->arg = arg;
	core->switch_ms = SWITCH_MS;
	r = read_slots(core);
	if (r) {
		free(core);
		return FAULT(r);
	}
	core->running = slots_running(&core->slots);
	tree_hex(core->hex, &core->slots, core->running);
	monitor_set_core(m, core->hex);
	r = monitor_add_module(m, &module, core);
	if (r == 0)
		*ret = core;
	return r;
}
