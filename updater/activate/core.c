/* The change of the core, on the monitor's loop: core_change.h. */
#include "updater/activate/core_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

enum { STUCK_LOOK_MS = 5000 };

static void take_step(struct core *core);

/* --- what runs ------------------------------------------------------------------------------------------------- */
void
core_tree_hex(char out[65], const struct slots *s, enum slots_slot slot)
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
		core_tree_hex(of, &core->slots, slot);
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
	core_trial_forget(core);
	worker_cancel(core->worker);
	core_proof_cancel(core->proof);
	loop_cancel(core->timer);
	buf_done(&core->index);
}

static int
leaf(struct core *core, const char *kind)
{
	uint8_t digest[32];

	return monitor_leaf(core->m, kind, "mainstayd", CORE_SERVICE,
		hex_decode(digest, sizeof(digest), core->c.to) ? digest : NULL, core->c.reason);
}

static void on_turn(void *arg);

static int
keep_end(struct core *core)
{
	int r = 0;

	if (core->c.step == CORE_ROLLED_BACK && !core->told) {
		r = core_trial_give_up(core);
		if (r < 0)
			log_fault(r, "ending the trial");
		r = leaf(core, "rollback");
		core->told = r == 0;
	}
	return r ?: core->ops->ended(&core->c, core->arg);
}

static void
end(struct core *core)
{
	struct core_change c = core->c;
	int r = keep_end(core);

	if (r < 0 && loop_after(&core->timer, monitor_loop(core->m), STUCK_LOOK_MS, on_turn, core) == 0) {
		if (!core->stuck)
			log_fault(r, "what a change of the core came to cannot be written down: trying again");
		core->stuck = true;
		return;
	}
	r = core_change_clear(core->journal_fd);
	if (r < 0)
		log_fault(r, "journal");
	put_down(core);
	core->changing = core->told = core->stuck = false;
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

void
core_advance(struct core *core, int r)
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
	core_advance(arg, r);
}

static int
check_approved(const struct core *core, const char *hex)
{
	uint8_t digest[32];
	int r = hex_decode(digest, sizeof(digest), hex) ? core_approved_has(monitor_dir(core->m), digest) : 0;

	if (r < 0)
		return FAULT(r);
	return r ? 0 : REFUSE(REASON_NOT_APPROVED, CORE_SERVICE,
		"a core release needs its owners' signature: mainstay update approve sha256:%s", hex);
}

static int
step_check(struct core *core)
{
	int r = core->c.back ? 0 : check_approved(core, core->c.to);

	if (r)
		return r;
	return *core->c.to ? core_check_release(core->m, core->c.to) : 0;
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
		return core_trial_slot(core);
	case CORE_SWITCH:
		*later = true;
		return core_trial_switch(core);
	case CORE_TRIAL:
		*later = true;
		return core_trial_start(core);
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
		core_advance(core, r);
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
	int r;

	if (core->changing)
		return REFUSE(REASON_BUSY, CORE_SERVICE, "a change of the core is under way");
	r = check_approved(core, rel->hex);
	r = r ?: read_slots(core);
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
	/* What a release takes over its definition says, in step check. */
	if (core->slots.previous == SLOTS_PACKAGED && !slots_accepts(core->slots.accepts, SLOTS_STATE_FORMAT))
		return REFUSE(REASON_CONFLICT, CORE_SERVICE,
			"the packaged core %s takes over state of the form %s, not %s, which this core writes: install a newer package first",
			core->slots.packaged, core->slots.accepts, SLOTS_STATE_FORMAT);
	fill_from(&c, core);
	t = slots_tree(&core->slots, core->slots.previous);
	core_tree_hex(c.to, &core->slots, core->slots.previous);
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
	core_tree_hex(core->hex, &core->slots, core->running);
	monitor_set_core(m, core->hex);
	r = monitor_add_module(m, &module, core);
	if (r == 0)
		*ret = core;
	return r;
}
