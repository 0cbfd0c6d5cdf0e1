#include "updater/activate/update_site.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "updater/activate/rights.h"
#include "updater/activate/update.h"
#include "updater/activate/update_verbs.h"
#include "updater/fetch/fetch_wire.h"

enum { ASK_AGAIN_MS = 1000, ASK_TRIES = 90 };

/* --- who waits ------------------------------------------------------------------------------------------------------- */
static void
waiting_clear(struct update_waiting *w)
{
	loop_cancel(w->again);
	w->call = NULL;
	w->service[0] = '\0';
}

static void
on_gone(struct monitor_call *call, void *arg)
{
	struct update_waiting *w = arg;

	/* Ctrl-C on `service install`: the change, once begun, goes on; an install not yet begun is forgotten. */
	monitor_answer(call, NULL);
	waiting_clear(w);
}

static void
on_again(void *arg)
{
	struct update_waiting *w = arg;

	if (w->u->run) {
		(void)loop_after(&w->again, monitor_loop(w->u->m), ASK_AGAIN_MS, on_again, w);
		return;
	}
	if (w->tries++ >= ASK_TRIES) {
		update_fail_waiting(w->u, w->service,
			REFUSE(REASON_UNREACHABLE, w->service, "no assigned release came within %d s",
				ASK_TRIES * ASK_AGAIN_MS / 1000));
		return;
	}
	monitor_push(w->u->m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	(void)loop_after(&w->again, monitor_loop(w->u->m), ASK_AGAIN_MS, on_again, w);
}

static struct update_waiting *
waiting_free(struct update *u)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (!u->waiting[i].call)
			return &u->waiting[i];
	return NULL;
}

int
update_room(struct update *u, const char *service)
{
	if (waiting_free(u))
		return 0;
	return REFUSE(REASON_BUSY, service, "%d commands wait for changes already", UPDATE_WAITING_MAX);
}

void
update_wait(struct update *u, struct monitor_call *call, const char *service, bool install)
{
	struct update_waiting *w = waiting_free(u);

	w->u = u;
	w->call = call;
	w->install = install;
	w->tries = 0;
	snprintf(w->service, sizeof(w->service), "%s", service);
	monitor_call_hold(call, on_gone, w);
	if (install)
		(void)loop_after(&w->again, monitor_loop(u->m), ASK_AGAIN_MS, on_again, w);
}

void
update_fail_waiting(struct update *u, const char *service, int r)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *w = &u->waiting[i];

		if (!w->call || !w->install || (service && strcmp(w->service, service) != 0))
			continue;
		monitor_answer_result(w->call, r, NULL);
		waiting_clear(w);
		update_set(u, "idle", service, r > 0 ? (enum reason)r : REASON_FAULT, refuse_last()->text);
	}
}

bool
update_installing(const struct update *u, const char *service)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (u->waiting[i].call && u->waiting[i].install && strcmp(u->waiting[i].service, service) == 0)
			return true;
	return false;
}

/* --- a change runs ------------------------------------------------------------------------------------------------------ */
static void
on_stepped(const struct change *c, void *arg)
{
	struct update *u = arg;
	SCOPED_JSON *line = json_pack("{s:s, s:s, s:s}", "service", c->service, "step", change_step_text(c->step),
		"version", c->to_version);

	update_set(u, c->step == CHANGE_STAGE ? "fetching" : "activating", c->service, c->reason, c->text);
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (u->waiting[i].call && strcmp(u->waiting[i].service, c->service) == 0)
			monitor_progress(u->waiting[i].call, line);
}

/* A first install accepts what the release asks for: the command showed it. */
static int
accept_first(struct update *u, const struct change *c)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	uint8_t digest[32];
	int r;

	r = accepted_load(&a, monitor_dir(u->m));
	if (r != 0 || accepted_knows(a, c->service))
		return r;
	r = update_release_definition(u, c->to, &d);
	r = r ?: rights_accept_all(a, d);
	r = r ?: accepted_save(a, monitor_dir(u->m));
	r = r ?: monitor_leaf(u->m, "accept", "install", c->service,
			 hex_decode(digest, sizeof(digest), c->to) ? digest : NULL, REASON_NONE);
	return r;
}

/* What the command that waited is told: what was observed, and what was accepted. */
static json_t *
outcome(struct update *u, const struct change *c)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	struct services_state state = { 0 };
	json_t *rights = NULL;

	(void)services_find(u->m, c->service, &state);
	if (accepted_load(&a, monitor_dir(u->m)) == 0 && update_release_definition(u, c->to, &d) == 0)
		(void)rights_list(&rights, d, a);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o*}", "service", c->service, "release", c->to,
		"version", c->to_version, "outcome", change_step_text(c->step), "text", c->text, "state",
		state.state, "health", state.health, "outside_window", (int)u->outside, "rights", rights);
}

static void
on_over(const struct change *c, void *arg)
{
	struct update *u = arg;
	bool good = c->step == CHANGE_GOOD;
	int r = 0;

	if (good && !c->from[0]) {
		r = accept_first(u, c);
		if (r < 0)
			log_fault(r, "accepting the first release");
		monitor_changed(u->m, MONITOR_CHANGE_SERVICE);
	}
	(void)update_remember(u, c);
	update_set(u, change_step_text(c->step), c->service, c->reason, c->text);
	monitor_notify(u->m, "update", c->service, u->state);
	if (!good)
		r = refuse_relay(c->reason, c->service, NULL, c->text);
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *w = &u->waiting[i];

		if (!w->call || strcmp(w->service, c->service) != 0)
			continue;
		monitor_answer_result(w->call, good ? 0 : r, good ? outcome(u, c) : NULL);
		waiting_clear(w);
	}
	update_consider(u);
}

static const struct change_run_ops run_ops = { .stepped = on_stepped, .over = on_over };

int
update_begin(struct update *u, const char *service, const struct update_release *rel)
{
	struct change c = { .step = CHANGE_STAGE, .started_us = clock_now_us() };
	const struct lock_entry *running;
	struct lock lock;
	uint8_t id[16];
	int r;

	if (u->run)
		return REFUSE(REASON_BUSY, service, "a change of %s is under way", change_run_state(u->run)->service);
	r = lock_read(&lock, monitor_paths(u->m));
	if (r != 0)
		return r;
	fs_random(id, sizeof(id));
	hex_encode(c.id, id, sizeof(id));
	snprintf(c.service, sizeof(c.service), "%s", service);
	snprintf(c.to, sizeof(c.to), "%s", rel->hex);
	snprintf(c.to_version, sizeof(c.to_version), "%s", rel->tree->version);
	c.counter = rel->counter;
	running = lock_find(&lock, service);
	if (running) {
		snprintf(c.from, sizeof(c.from), "%s", running->release);
		snprintf(c.from_version, sizeof(c.from_version), "%s", running->version);
		c.from_counter = running->counter;
	}
	/* The word of whoever began it stands over the maintenance hours, and the log says that it did. */
	u->outside = !policy_window_open(monitor_policy(u->m), POLICY_WINDOW_UPDATES, monitor_now_us(u->m),
		monitor_clock_doubtful(u->m), NULL);
	r = monitor_leaf(u->m, "update", "mainstayd", service, NULL,
		u->outside ? REASON_OUTSIDE_WINDOW : REASON_NONE);
	r = r ?: change_run_start(&u->run, u->m, u->journal_fd, &c, rel->index.data, rel->index.len, &run_ops, u);
	return r;
}

/* The service's last change was to this release and went back: `update status` keeps saying so. */
static bool
went_back(const struct update *u, const char *service, const char *hex)
{
	for (size_t i = json_array_size(u->history); i-- > 0;) {
		const json_t *row = json_array_get(u->history, i);
		const char *of = json_string_value(json_object_get(row, "service"));
		const char *to = json_string_value(json_object_get(row, "to"));
		const char *how = json_string_value(json_object_get(row, "outcome"));

		if (of && strcmp(of, service) == 0)
			return to && how && strcmp(to, hex) == 0 &&
				strcmp(how, change_step_text(CHANGE_ROLLED_BACK)) == 0;
	}
	return false;
}

/* All of the release is there: put it in where somebody installs it, else it waits, staged, for apply. */
static void
consider_release(struct update *u, const struct assignment_release *a)
{
	struct services_state state;
	struct update_release rel;
	SCOPED_JSON *missing = json_array();
	int r;

	if (!services_find(u->m, a->service, &state) || !state.wanted ||
		update_release_load(u, a, &rel) != 0)
		return;
	r = update_release_missing(u, &rel, missing, 1);
	if (r == 0 && json_array_size(missing) == 0 && strcmp(rel.hex, state.release) != 0) {
		if (update_installing(u, a->service) && !state.release[0])
			r = update_begin(u, a->service, &rel);
		else if (strcmp(u->state, "staged") != 0 && !went_back(u, a->service, rel.hex))
			update_set(u, "staged", a->service, REASON_NONE, rel.tree->version);
		if (r != 0)
			update_fail_waiting(u, a->service, r);
	}
	update_release_done(&rel);
}

void
update_consider(struct update *u)
{
	for (size_t i = 0; u->has_assignment && i < u->assignment.n && !u->run; i++)
		consider_release(u, &u->assignment.releases[i]);
}

/* --- module -------------------------------------------------------------------------------------------------------------- */
/* A crash left a change: its step is taken again.  One that was not staged yet has touched nothing. */
static int
resume(struct update *u)
{
	struct change c;
	int r;

	r = change_load(&c, u->journal_fd);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r != 0)
		return r;
	log_info("%s: going on with the change to %s at step %s", c.service, c.to_version, change_step_text(c.step));
	if (c.step == CHANGE_STAGE)
		change_advance(&c, REASON_INTERRUPTED, "the monitor ended before the release was staged");
	return change_run_start(&u->run, u->m, u->journal_fd, &c, "", 0, &run_ops, u);
}

static int
on_start(struct monitor *m, void *arg)
{
	struct update *u = arg;
	int r;

	(void)m;
	r = resume(u);
	return r;
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct update *u = arg;

	(void)m;
	(void)json_object_set_new(status, "update",
		json_pack("{s:s, s:s, s:s, s:b}", "state", u->state, "service", u->service, "reason", u->reason,
			"held", u->held));
}

static void
update_free(void *arg)
{
	struct update *u = arg;

	change_run_cancel(u->run);
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		loop_cancel(u->waiting[i].again);
	json_decref(u->history);
	close(u->journal_fd);
	close(u->incoming_fd);
	close(u->store_fd);
	free(u);
}

static const struct monitor_module module = {
	.name = "update",
	.start = on_start,
	.status = on_status,
	.free = update_free,
};

static int
open_folders(struct update *u)
{
	char path[sizeof(((struct paths *)0)->lib) + 16];
	int r;

	r = fs_open_dir(&u->journal_fd, monitor_dir(u->m), "journal", 0700);
	snprintf(path, sizeof(path), "%s/incoming", monitor_paths(u->m)->lib);
	r = r ?: fs_open_dir(&u->incoming_fd, -1, path, 0755);
	snprintf(path, sizeof(path), "%s/store", monitor_paths(u->m)->lib);
	return r ?: fs_open_dir(&u->store_fd, -1, path, 0755);
}

int
update_site_init(struct monitor *m)
{
	struct update *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return FAULT(-ENOMEM);
	u->m = m;
	u->journal_fd = u->incoming_fd = u->store_fd = -1;
	r = open_folders(u);
	r = r ?: update_load(u);
	if (r == 0) {
		r = assignment_load(&u->assignment, monitor_dir(m));
		u->has_assignment = r == 0;
		if (r == REASON_NOT_FOUND)
			r = 0;
	}
	if (r != 0) {
		update_free(u);
		return r;
	}
	r = monitor_add_module(m, &module, u);
	r = r ?: update_fetch_init(u);
	return r ?: update_verbs_init(u);
}
