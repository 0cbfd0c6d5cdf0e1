#include "updater/activate/change_run.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/mutes.h"
#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "appliance/tree/index.h"
#include "updater/activate/change_check.h"
#include "updater/activate/change_watch.h"
#include "updater/activate/hook.h"
#include "updater/activate/worker.h"

enum { BUSY_LOOK_MS = 300, BUSY_MAX_S = 120 };


enum {
	MUTED_MAX_S = 6 * 3600, /* whatever becomes of it, its alerts are heard then */
	MUTED_BY_BYTES = 64,
};

struct change_run {
	struct change_run **slot;
	struct monitor *m;
	int journal_fd;
	struct change c;
	bool taken_up; /* after a crash, from the journal */
	struct buf index[CHANGE_ITEMS_MAX];
	const struct change_run_ops *ops;
	void *arg;
	struct worker *worker;
	struct hook *hook;
	struct loop_timer *timer;
	struct change_watch *watch;
	bool steps;		 /* a service step is under way */
	uint64_t busy_until_us;	 /* it waits for another step of the service; 0: it does not */
	size_t told;		 /* so many items have their leaf "rollback" */
	bool stuck;		 /* and that was said */
};

static void take_step(struct change_run *run);
static void on_service(int r, void *arg);

struct change_run *
change_run_cancel(struct change_run *run)
{
	if (!run)
		return NULL;
	if (run->slot)
		*run->slot = NULL;
	if (run->steps)
		services_leave(run->m, on_service, run);
	worker_cancel(run->worker);
	hook_cancel(run->hook);
	change_watch_cancel(run->watch);
	loop_cancel(run->timer);
	for (size_t i = 0; i < ARRAY_LEN(run->index); i++)
		buf_done(&run->index[i]);
	free(run);
	return NULL;
}

const struct change *
change_run_state(const struct change_run *run)
{
	return &run->c;
}

/* The item whose turn it is; only while the change is not over. */
static struct change_item *
item_of(struct change_run *run)
{
	return &run->c.items[change_current(&run->c)];
}

static void
on_turn(void *arg)
{
	take_step(arg);
}

/* The step ended with r.  The next one begins in a turn of its own. */
static void
advance(struct change_run *run, int r)
{
	const char *text = r > 0 ? refuse_last()->text : "fault";

	if (r < 0)
		log_fault(r, change_step_text(item_of(run)->step));
	change_advance(&run->c, r, text);
	r = change_save(&run->c, run->journal_fd);
	if (r < 0) {
		/* The step is not in the journal: it is taken again after a restart, which each step allows. */
		log_fault(r, "journal");
	}
	(void)loop_after(&run->timer, monitor_loop(run->m), 0, on_turn, run);
}

/* --- stage, check ------------------------------------------------------------------------------------------- */
static void
on_staged(int r, const struct stage_result *result, void *arg)
{
	(void)result;
	advance(arg, r);
}

static int
step_stage(struct change_run *run)
{
	const struct buf *index = &run->index[change_current(&run->c)];

	return worker_stage(&run->worker, run->m, index->data, index->len, on_staged, run);
}

/* --- hooks ------------------------------------------------------------------------------------------------------- */
static void
on_hook(int r, const char *output, void *arg)
{
	struct change_run *run = arg;
	struct change_item *item = item_of(run);
	uint8_t digest[32];
	int l;

	/* What it wrote is the site's own; the log keeps its digest. */
	if (hex_decode(digest, sizeof(digest), output)) {
		snprintf(item->output, sizeof(item->output), "%s", output);
		l = monitor_leaf(run->m, "update", change_step_text(item->step), item->service, digest,
			r > 0 ? (enum reason)r : REASON_NONE);
		r = r ?: l;
	}
	advance(run, r);
}

/* The hook of that release, where it has one. */
static int
step_hook(struct change_run *run, const char *release, enum definition_hooks which, bool *later)
{
	const struct change_item *item = item_of(run);
	const char *snapshot = item->step == CHANGE_DATA ? item->restore : item->snapshot;
	SCOPED(definition_freep) struct definition *d = NULL;
	int r = change_definition(run->m, release, &d);

	if (r != 0 || !d->hooks[which].present)
		return r;
	r = hook_start(&run->hook, run->m, d, release, which, which == DEFINITION_HOOK_CHECK ? "" : snapshot, on_hook, run);
	*later = r == 0;
	return r;
}

static int
step_check(struct change_run *run, bool *later)
{
	const struct change_item *item = item_of(run);
	int r = change_check(run->m, &run->c, change_current(&run->c));

	/* Data that is to be replaced tells the hook nothing. */
	return r != 0 || !item->from[0] || item->restore[0] ? r : step_hook(run, item->to, DEFINITION_HOOK_CHECK, later);
}

/* --- services ------------------------------------------------------------------------------------------------ */
static void
on_service(int r, void *arg)
{
	struct change_run *run = arg;

	run->steps = false;
	/* After a start of the monitor what is active is started, which must not turn a change back. */
	if (r == REASON_BUSY) {
		if (!run->busy_until_us)
			run->busy_until_us = clock_mono_us() + BUSY_MAX_S * CLOCK_US_PER_S;
		if (clock_mono_us() < run->busy_until_us &&
			loop_after(&run->timer, monitor_loop(run->m), BUSY_LOOK_MS, on_turn, run) == 0)
			return;
	}
	run->busy_until_us = 0;
	advance(run, r);
}

static int
service_step(struct change_run *run,
	int (*step)(struct monitor *, const char *, services_done_fn *, void *))
{
	int r = step(run->m, item_of(run)->service, on_service, run);

	run->steps = r == 0;
	return r;
}

/* cluster.lock names hex, or the service is taken out of it where hex is empty. */
static int
write_lock(struct change_run *run, const char *hex, const char *version)
{
	const struct change_item *item = item_of(run);
	struct lock lock;
	struct lock_entry entry = { 0 };
	struct services_state state = { 0 };
	int r;

	r = lock_read(&lock, monitor_paths(run->m));
	if (r != 0)
		return r;
	if (!hex[0]) {
		if (lock_find(&lock, item->service))
			r = lock_remove(&lock, item->service);
	} else {
		(void)services_find(run->m, item->service, &state);
		snprintf(entry.service, sizeof(entry.service), "%s", item->service);
		snprintf(entry.release, sizeof(entry.release), "%s", hex);
		snprintf(entry.version, sizeof(entry.version), "%s", version);
		snprintf(entry.channel, sizeof(entry.channel), "%s", state.channel[0] ? state.channel : "stable");
		entry.counter = strcmp(hex, item->to) == 0 ? item->counter : item->from_counter;
		r = lock_put(&lock, &entry);
	}
	r = r ?: lock_write(&lock, monitor_paths(run->m));
	services_reload(run->m);
	return r;
}

/* --- health, soak ---------------------------------------------------------------------------------------------- */
static void
on_watched(int r, void *arg)
{
	advance(arg, r);
}

static int
step_watch(struct change_run *run, enum change_watch_what what)
{
	const struct change_item *item = item_of(run);
	SCOPED(definition_freep) struct definition *d = NULL;
	int r = change_definition(run->m, item->to, &d);

	return r ?: change_watch_start(&run->watch, run->m, d, what, on_watched, run);
}

/* --- ends ------------------------------------------------------------------------------------------------------ */
static int
leaf(struct change_run *run, const struct change_item *item, const char *kind)
{
	uint8_t bytes[32];
	const uint8_t *digest = hex_decode(bytes, sizeof(bytes), item->to) ? bytes : NULL;

	/* One killed between the leaf and the journal's end wrote it: a change is told once. */
	if (run->taken_up && monitor_leaf_stands(run->m, kind, item->service, digest, run->c.started_us))
		return 0;
	return monitor_leaf(run->m, kind, "mainstayd", item->service, digest, run->c.reason);
}

/* Alerts of its services may be of its making while it lasts. */
static const char *
muted_by(const struct change *c, char out[MUTED_BY_BYTES])
{
	(void)snprintf(out, MUTED_BY_BYTES, "update %s", c->id);
	return out;
}

static bool
is_for_the_disk(int r)
{
	return r < 0 || r == REASON_NO_SPACE;
}

/* What must stand now, or a service is left as nobody wants it and its history is lost, waits until the disk takes it. */
static int
wait_for_the_disk(struct change_run *run, int r)
{
	if (!run->stuck) {
		log_error("what an update came to cannot be written down: trying again every few seconds");
		if (r < 0)
			log_fault(r, change_step_text(run->c.items[run->c.n - 1].step));
		run->ops->stuck(&run->c, r, run->arg);
	}
	run->stuck = true;
	return loop_after(&run->timer, monitor_loop(run->m), run->ops->again_ms, on_turn, run);
}

static int
keep_end(struct change_run *run)
{
	const struct change *c = &run->c;
	int r = 0;

	for (; run->told < c->n && r == 0; run->told += r == 0)
		if (c->items[run->told].step != CHANGE_GOOD)
			r = leaf(run, &c->items[run->told], "rollback");
	return r ?: run->ops->ended(c, run->arg);
}

static void
end(struct change_run *run)
{
	struct change c = run->c;
	char why[MUTED_BY_BYTES];
	const struct change_run_ops *ops = run->ops;
	void *arg = run->arg;
	int r = keep_end(run);

	if (is_for_the_disk(r) && wait_for_the_disk(run, r) == 0)
		return;
	r = change_clear(run->journal_fd);
	if (r < 0)
		log_fault(r, "journal");
	for (size_t i = 0; i < c.n; i++)
		mutes_release(run->m, c.items[i].service, muted_by(&c, why));
	monitor_changed(run->m, MONITOR_CHANGE_SERVICE);
	monitor_statement_soon(run->m);
	change_run_cancel(run);
	ops->over(&c, arg);
}

/* Begin the step that the journal names.  A step that ends at once returns 0 or its reason and is advanced here;
 * one that waits sets *later. */
static int
begin(struct change_run *run, bool *later)
{
	struct change_item *item = item_of(run);

	switch (item->step) {
	case CHANGE_STAGE:
		*later = true;
		return step_stage(run);
	case CHANGE_CHECK:
		return step_check(run, later);
	case CHANGE_SNAPSHOT:
		return item->snapshot[0] ? step_hook(run, item->from, DEFINITION_HOOK_SNAPSHOT, later) : 0;
	case CHANGE_STOP:
		if (!item->from[0])
			return 0;
		*later = true;
		return service_step(run, services_stop);
	case CHANGE_DATA:
		return step_hook(run, item->to, DEFINITION_HOOK_RESTORE, later);
	case CHANGE_SWITCH:
		return write_lock(run, item->to, item->to_version);
	case CHANGE_START:
		*later = true;
		return service_step(run, services_start);
	case CHANGE_HEALTH:
		*later = true;
		return step_watch(run, CHANGE_WATCH_HEALTH);
	case CHANGE_SOAK:
		*later = true;
		return step_watch(run, CHANGE_WATCH_SOAK);
	case CHANGE_COMMIT:
		return leaf(run, item, "activate");
	case CHANGE_UNDO_STOP:
		*later = true;
		return service_step(run, services_stop);
	case CHANGE_UNDO_DATA:
		return item->one_way ? step_hook(run, item->from, DEFINITION_HOOK_RESTORE, later) : 0;
	case CHANGE_UNDO_SWITCH:
		return write_lock(run, item->from, item->from_version);
	case CHANGE_UNDO_START:
		if (!item->from[0])
			return 0;
		*later = true;
		return service_step(run, services_start);
	case CHANGE_GOOD:
	case CHANGE_ROLLED_BACK:
	case CHANGE_FAILED:
	case CHANGE_STEP_MAX:
		break;
	}
	return 0;
}

static void
take_step(struct change_run *run)
{
	bool later = false;
	size_t at = change_current(&run->c);
	const struct change_item *item = &run->c.items[at];
	int r;

	if (at == run->c.n) {
		end(run);
		return;
	}
	log_info("%s: %s -> %s: %s", item->service, item->from_version[0] ? item->from_version : "(none)",
		item->to_version, change_step_text(item->step));
	run->ops->stepped(&run->c, at, run->arg);
	r = begin(run, &later);
	if (item->step == CHANGE_UNDO_SWITCH && is_for_the_disk(r) && wait_for_the_disk(run, r) == 0)
		return;
	if (r != 0 || !later)
		advance(run, r);
}

int
change_run_start(struct change_run **slot, struct monitor *m, int journal_fd, const struct change *c,
	const struct buf *index, const struct change_run_ops *ops, void *arg)
{
	struct change_run *run = calloc(1, sizeof(*run));
	char why[MUTED_BY_BYTES];
	int r = 0;

	if (!run)
		return FAULT(-ENOMEM);
	run->m = m;
	run->journal_fd = journal_fd;
	run->c = *c;
	for (size_t i = 0; i < c->n; i++)
		run->taken_up = run->taken_up || c->items[i].step != CHANGE_STAGE;
	run->ops = ops;
	run->arg = arg;
	for (size_t i = 0; index && i < c->n && r == 0; i++) {
		run->index[i] = BUF_MAX(TREE_INDEX_BYTES_MAX);
		buf_put(&run->index[i], index[i].data, index[i].len);
		r = buf_error(&run->index[i]);
	}
	r = r ?: change_save(&run->c, journal_fd);
	r = r ?: loop_after(&run->timer, monitor_loop(m), 0, on_turn, run);
	if (r < 0) {
		change_run_cancel(run);
		return FAULT(r);
	}
	/* Also where it goes on after a crash; a service that is stopped for it is no news. */
	for (size_t i = 0; i < c->n; i++)
		mutes_hold(m, c->items[i].service, muted_by(c, why), MUTED_MAX_S);
	run->slot = slot;
	*slot = run;
	return 0;
}
