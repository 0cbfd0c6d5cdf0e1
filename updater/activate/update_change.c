/* A change from its beginning to its end, as the updater's state, the history and the waiting commands see it. */
#include "updater/activate/update_verbs.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "updater/activate/change_check.h"
#include "updater/activate/rights.h"
#include "updater/activate/update.h"

/* --- while it runs ------------------------------------------------------------------------------------------------- */
static void
on_stepped(const struct change *c, size_t at, void *arg)
{
	struct update *u = arg;
	const struct change_item *item = &c->items[at];
	SCOPED_JSON *line = json_pack("{s:s, s:s, s:s}", "service", item->service, "step",
		change_step_text(item->step), "version", item->to_version);

	update_set(u, item->step == CHANGE_STAGE ? "fetching" : "activating", item->service, c->reason, c->text);
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (update_waits(&u->waiting[i], c))
			monitor_progress(u->waiting[i].call, line);
}

/* A first install accepts what the release asks for: the command showed it. */
static int
accept_first(struct update *u, const struct change_item *item)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	uint8_t digest[32];
	int r;

	r = accepted_load(&a, monitor_dir(u->m));
	if (r != 0 || accepted_knows(a, item->service))
		return r;
	r = update_release_definition(u, item->to, &d);
	r = r ?: rights_accept_all(a, d);
	r = r ?: monitor_leaf(u->m, "accept", "install", item->service,
			 hex_decode(digest, sizeof(digest), item->to) ? digest : NULL, REASON_NONE);
	return r ?: accepted_save(a, monitor_dir(u->m));
}

/* --- its end ------------------------------------------------------------------------------------------------------- */
/* What was observed of one service, and what of its release is accepted. */
static json_t *
item_json(struct update *u, const struct change_item *item)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	struct services_state state = { 0 };
	json_t *rights = NULL;

	(void)services_find(u->m, item->service, &state);
	if (accepted_load(&a, monitor_dir(u->m)) == 0 && update_release_definition(u, item->to, &d) == 0)
		(void)rights_list(&rights, d, a);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o*}", "service", item->service, "release", item->to,
		"from_version", item->from_version, "version", item->to_version, "outcome",
		change_step_text(item->step), "state", state.state, "health", state.health, "rights", rights);
}

/* What the command that waited is told: an install of its service, others of all. */
static json_t *
outcome(struct update *u, const struct change *c, const struct update_waiting *w)
{
	json_t *answer, *items;

	if (w->install) {
		answer = item_json(u, change_find(c, w->service));
	} else {
		items = json_array();
		for (size_t i = 0; i < c->n; i++)
			(void)json_array_append_new(items, item_json(u, &c->items[i]));
		answer = json_pack("{s:o, s:s}", "items", items, "plan", u->plan);
	}
	(void)json_object_set_new(answer, "outside_window", json_boolean(u->outside));
	return answer;
}

/* Refusals begin with their operand, and so does what a change says of itself. */
static const char *
without(const char *text, const char *operand)
{
	size_t len = strlen(operand);

	return strncmp(text, operand, len) == 0 && strncmp(text + len, ": ", 2) == 0 ? text + len + 2 : text;
}

/* The service whose step failed: the change's text begins with it. */
static const char *
failed_first(const struct change *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (without(c->text, c->items[i].service) != c->text)
			return c->items[i].service;
	return c->items[0].service;
}

/* Why it did not go well, and how all of its services are now. */
static void
say_failure(struct update *u, const struct change *c, struct buf *out)
{
	struct services_state state;

	buf_printf(out, "%s%s%s", c->text, c->remedy[0] ? "; " : "", c->remedy);
	for (size_t i = 0; i < c->n; i++)
		if (!c->items[i].from[0])
			buf_printf(out, "%s%s is not installed", i ? ", " : "; now ", c->items[i].service);
		else if (services_find(u->m, c->items[i].service, &state))
			buf_printf(out, "%s%s%s%s is %s, health %s", i ? ", " : "; now ", state.name,
				state.version[0] ? " " : "", state.version, state.state, state.health);
}

static void
tell_waiting(struct update *u, const struct change *c)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(8192);
	bool good = change_outcome(c) == CHANGE_GOOD;

	say_failure(u, c, &text);
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *w = &u->waiting[i];
		const char *operand = w->install ? w->service : failed_first(c);

		if (!update_waits(w, c))
			continue;
		if (!good) {
			update_end_failed(w, refuse_relay(c->reason, operand, NULL, without(buf_text(&text), operand)));
			continue;
		}
		monitor_answer_result(w->call, 0, outcome(u, c, w));
		update_waiting_clear(w);
	}
}

/* Where it cannot be kept what it came to, it is not over: it is asked again. */
static int
on_ended(const struct change *c, void *arg)
{
	struct update *u = arg;
	enum change_step how = change_outcome(c);
	/* The pinned word; which of them could not go back stands in the text, the history and the services' states. */
	const char *state = change_step_text(how == CHANGE_GOOD ? CHANGE_GOOD : CHANGE_ROLLED_BACK);
	char text[CHANGE_TEXT_MAX];
	int r = 0;

	for (size_t i = 0; i < c->n && how == CHANGE_GOOD && r >= 0; i++)
		if (!c->items[i].from[0])
			r = accept_first(u, &c->items[i]);
	if (r < 0)
		return FAULT(r);
	for (size_t i = 0; i < c->n; i++)
		(void)update_remember(u, c, &c->items[i]);
	if (c->remedy[0])
		snprintf(text, sizeof(text), "%.120s; %.120s", c->remedy, c->text);
	else
		snprintf(text, sizeof(text), "%s", c->text);
	return FAULT(update_put(u, state, c->items[0].service, c->reason, text)); /* with the history, in one write */
}

static void
on_stuck(const struct change *c, int r, void *arg)
{
	struct update *u = arg;
	SCOPED_JSON *line = json_pack("{s:s, s:s, s:s}", "service", c->items[0].service, "step", "wait for the disk",
		"version", c->items[0].to_version);

	update_set(u, "activating", c->items[0].service, r > 0 ? (enum reason)r : REASON_FAULT,
		"the disk is full or fails: what the change came to cannot be written down, and is tried every few seconds; "
		"make room");
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (update_waits(&u->waiting[i], c))
			monitor_progress(u->waiting[i].call, line);
}

static void
on_over(const struct change *c, void *arg)
{
	struct update *u = arg;

	for (size_t i = 0; i < c->n; i++)
		update_collect_snapshots(u, c->items[i].service);
	monitor_changed(u->m, MONITOR_CHANGE_SERVICE);
	monitor_notify(u->m, "update", c->items[0].service, u->state);
	tell_waiting(u, c);
	update_sweep(u);
	update_consider(u);
}

static const struct change_run_ops run_ops = {
	.stepped = on_stepped, .ended = on_ended, .stuck = on_stuck, .again_ms = 5000, .over = on_over
};

/* --- its beginning ------------------------------------------------------------------------------------------------- */
static void
fill_item(struct change_item *item, const struct update_release *rel, const struct lock *lock)
{
	const struct lock_entry *running = lock_find(lock, rel->tree->service);

	snprintf(item->service, sizeof(item->service), "%s", rel->tree->service);
	snprintf(item->to, sizeof(item->to), "%s", rel->hex);
	snprintf(item->to_version, sizeof(item->to_version), "%s", rel->tree->version);
	item->counter = rel->counter;
	item->step = CHANGE_STAGE;
	if (!running)
		return;
	snprintf(item->from, sizeof(item->from), "%s", running->release);
	snprintf(item->from_version, sizeof(item->from_version), "%s", running->version);
	item->from_counter = running->counter;
}

/* Whoever began it outside the maintenance hours: their word stands over these, and the log says that it did. */
static int
update_leaves(struct update *u, const struct change *c, const char *actor)
{
	enum reason reason = REASON_NONE;
	uint8_t digest[32];
	int r = 0;

	u->outside = !policy_window_open(monitor_policy(u->m), POLICY_WINDOW_UPDATES, monitor_now_us(u->m),
		monitor_clock_doubtful(u->m), NULL);
	if (u->outside)
		reason = REASON_OUTSIDE_WINDOW;
	for (size_t i = 0; i < c->n && r == 0; i++)
		r = monitor_leaf(u->m, "update", actor, c->items[i].service,
			hex_decode(digest, sizeof(digest), c->items[i].to) ? digest : NULL, reason);
	return r;
}

int
update_begin(struct update *u, enum change_kind kind, const char *actor, const struct update_release *rels, size_t n,
	const char *restore)
{
	struct change c = { .kind = kind, .n = n, .started_us = clock_now_us() };
	struct buf index[CHANGE_ITEMS_MAX];
	struct lock lock;
	uint8_t id[16];
	int r;

	if (u->run)
		return REFUSE(REASON_BUSY, rels[0].tree->service, "a change of %s is under way",
			change_run_state(u->run)->items[0].service);
	if (core_change_running(u->core))
		return REFUSE(REASON_BUSY, rels[0].tree->service, "a change of the core is under way");
	r = lock_read(&lock, monitor_paths(u->m));
	if (r != 0)
		return r;
	fs_random(id, sizeof(id));
	hex_encode(c.id, id, sizeof(id));
	for (size_t i = 0; i < n; i++) {
		fill_item(&c.items[i], &rels[i], &lock);
		index[i] = rels[i].index;
	}
	if (restore)
		snprintf(c.items[0].restore, sizeof(c.items[0].restore), "%s", restore);
	/* Whoever installs hears of it as of all that befalls an install: at its end. */
	for (size_t i = 0; kind != CHANGE_INSTALL && i < n && r == 0; i++)
		r = change_check(u->m, &c, i);
	if (r != 0)
		return r;
	r = update_leaves(u, &c, actor);
	return r ?: change_run_start(&u->run, u->m, u->journal_fd, &c, index, &run_ops, u);
}

int
update_begin_for(struct update *u, struct monitor_call *call, enum change_kind kind, const struct update_release *rels,
	size_t n, const char *restore)
{
	int r = update_room(u, rels[0].tree->service);

	r = r ?: update_begin(u, kind, monitor_call_actor(call), rels, n, restore);
	if (r == 0)
		update_wait_change(u, call);
	return r;
}

/* It ran when its soak began, and nothing of it is left: the power failed, and whether the release had to do with that nobody
 * knows. */
static bool
went_down(struct update *u, const struct change_item *item)
{
	struct services_state state;

	return item->step == CHANGE_SOAK && services_find(u->m, item->service, &state) && state.fault == 0 &&
		strcmp(state.state, "stopped") == 0;
}

bool
update_holds(const char *service, void *update)
{
	const struct update *u = update;
	const struct change_item *item = u->run ? change_find(change_run_state(u->run), service) : NULL;

	return item && ((item->step >= CHANGE_STOP && item->step <= CHANGE_START) ||
			       (item->step >= CHANGE_UNDO_STOP && item->step <= CHANGE_UNDO_START));
}

/* A crash left a change: its step is taken again.  One that was not staged yet has touched nothing. */
int
update_resume(struct update *u)
{
	struct change c;
	size_t at;
	int r;

	r = change_load(&c, u->journal_fd);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r != 0)
		return r;
	at = change_current(&c);
	if (at < c.n) {
		log_info("%s: going on with the change to %s at step %s", c.items[at].service,
			c.items[at].to_version, change_step_text(c.items[at].step));
		if (c.items[at].step == CHANGE_STAGE)
			change_advance(&c, REASON_INTERRUPTED, "the monitor ended before the release was staged");
		else if (went_down(u, &c.items[at]))
			change_advance(&c, REASON_INTERRUPTED, "the machine went down while the release was being watched");
	}
	return change_run_start(&u->run, u->m, u->journal_fd, &c, NULL, &run_ops, u);
}
