#include "updater/activate/update_verbs.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/accepted.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/core_approved.h"
#include "updater/activate/rights.h"
#include "updater/activate/update.h"
#include "updater/fetch/fetch_wire.h"

enum { CLUSTER_BYTES_MAX = 64 * 1024 };

#define CLUSTER_NAME "cluster.yaml"

/* --- cluster.yaml: the one desired state -------------------------------------------------------------------------- */
static int
cluster_text(struct update *u, int *ret_etc, struct buf *text)
{
	int r;

	r = fs_open_dir(ret_etc, -1, monitor_paths(u->m)->etc, 0755);
	r = r ?: fs_read(*ret_etc, CLUSTER_NAME, CLUSTER_BYTES_MAX, text);
	if (r == REASON_NOT_FOUND)
		return 0; /* an empty cluster */
	if (r == REASON_TOO_LARGE)
		return REFUSE(REASON_TOO_LARGE, CLUSTER_NAME, "over %d bytes", CLUSTER_BYTES_MAX);
	return r;
}

static int
need_service(struct update *u, const struct monitor_call *call, const char **ret, struct services_state *state)
{
	int r = monitor_call_need(call, "service", ret);

	if (r == 0 && !services_find(u->m, *ret, state))
		r = REFUSE(REASON_NOT_FOUND, *ret, "cluster.yaml names no such service");
	return r;
}

/* --- install, remove ------------------------------------------------------------------------------------------------ */
static int
on_install(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED(buf_done) struct buf old = BUF_MAX(CLUSTER_BYTES_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(CLUSTER_BYTES_MAX);
	SCOPED(scope_close) int etc = -1;
	struct services_state state = { 0 };
	const char *service;
	bool known;
	int r;

	r = monitor_call_need(call, "service", &service);
	if (r != 0)
		return r;
	if (!monitor_recorded(m))
		return REFUSE(REASON_NOT_APPROVED, service, "the site has no engineer-signed site record yet");
	if (!monitor_switch_on(m, SWITCH_UPDATES))
		return REFUSE(REASON_SWITCHED_OFF, service, "releases come with the updates switch: mainstay on updates");
	known = services_find(m, service, &state);
	if (known && state.release[0])
		return REFUSE(REASON_CONFLICT, service, "release %s is installed already", state.version);
	r = update_room(u, service);
	if (r == 0 && (!known || !state.wanted)) {
		r = cluster_text(u, &etc, &old);
		r = r ?: cluster_install(&text, buf_text(&old), old.len, service, monitor_call_text(call, "channel"));
		r = r ?: fs_replace(etc, CLUSTER_NAME, text.data, text.len, 0644);
		if (r == 0)
			services_reload(m);
	}
	if (r != 0)
		return r;
	update_wait_install(u, call, service);
	update_set(u, "fetching", service, REASON_NONE, "");
	monitor_statement_soon(m);
	monitor_push(m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	return 0;
}

struct removal {
	struct update *u;
	struct monitor_call *call;
	char service[65];
};

static int
forget_service(struct update *u, const char *service)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(buf_done) struct buf old = BUF_MAX(CLUSTER_BYTES_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(CLUSTER_BYTES_MAX);
	SCOPED(scope_close) int etc = -1;
	struct lock lock;
	int r;

	r = lock_read(&lock, monitor_paths(u->m));
	if (r == 0 && lock_find(&lock, service)) {
		r = lock_remove(&lock, service);
		r = r ?: lock_write(&lock, monitor_paths(u->m));
	}
	r = r ?: cluster_text(u, &etc, &old);
	r = r ?: cluster_remove(&text, buf_text(&old), old.len, service);
	r = r ?: fs_replace(etc, CLUSTER_NAME, text.data, text.len, 0644);
	r = r ?: accepted_load(&a, monitor_dir(u->m));
	r = r ?: accepted_forget(a, service);
	r = r ?: accepted_save(a, monitor_dir(u->m));
	return r ?: monitor_leaf(u->m, "service", "operator", service, NULL, REASON_NONE);
}

static void
answer_removal(int r, void *arg)
{
	struct removal *rm = arg;

	monitor_changed(rm->u->m, MONITOR_CHANGE_SERVICE);
	monitor_statement_soon(rm->u->m);
	monitor_answer_result(rm->call, r, r == 0 ? json_pack("{s:s, s:s}", "service", rm->service, "data", "kept") : NULL);
	free(rm);
}

static void
on_stopped(int r, void *arg)
{
	struct removal *rm = arg;
	struct monitor *m = rm->u->m;

	/* A service that never ran has nothing to stop. */
	if (r == 0 || r == REASON_NOT_FOUND)
		r = forget_service(rm->u, rm->service);
	r = r ?: services_reload_then(m, answer_removal, rm);
	if (r == 0)
		return;
	answer_removal(r, rm);
	services_reload(m); /* it may be half forgotten */
}

static int
on_remove(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	struct services_state state;
	struct removal *rm;
	const char *service;
	int r;

	r = need_service(u, call, &service, &state);
	if (r != 0)
		return r;
	if (u->run)
		return REFUSE(REASON_BUSY, service, "a change is under way");
	rm = calloc(1, sizeof(*rm));
	if (!rm)
		return FAULT(-ENOMEM);
	rm->u = u;
	rm->call = call;
	snprintf(rm->service, sizeof(rm->service), "%s", service);
	r = services_stop(m, service, on_stopped, rm);
	if (r < 0) {
		free(rm);
		return FAULT(r);
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

/* --- rights ----------------------------------------------------------------------------------------------------------- */
static int
on_rights(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	struct services_state state;
	const char *service;
	json_t *rights;
	int r;

	r = need_service(u, call, &service, &state);
	r = r ?: update_release_definition(u, state.release, &d);
	r = r ?: accepted_load(&a, monitor_dir(m));
	r = r ?: rights_list(&rights, d, a);
	if (r == 0)
		monitor_answer(call, rights);
	return r;
}

static int
on_accept(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *done = json_array();
	struct services_state state;
	const char *service, *kind, *name, *value;
	int r;

	r = need_service(u, call, &service, &state);
	r = r ?: monitor_call_need(call, "kind", &kind);
	r = r ?: update_release_definition(u, state.release, &d);
	r = r ?: accepted_load(&a, monitor_dir(m));
	for (size_t i = 0; r == 0 && monitor_call_param(call, i, &name, &value); i++) {
		if (strcmp(name, "item") != 0)
			continue;
		r = rights_accept(a, d, kind, value);
		r = r ?: monitor_leaf(m, "accept", monitor_call_actor(call), value, NULL, REASON_NONE);
		r = r ?: json_array_append_new(done, json_string(value));
	}
	r = r ?: accepted_save(a, monitor_dir(m));
	if (r != 0)
		return r;
	monitor_changed(m, MONITOR_CHANGE_SERVICE);
	monitor_answer(call, json_pack("{s:s, s:O}", "service", service, "accepted", done));
	return 0;
}

/* --- plan, apply ------------------------------------------------------------------------------------------------------- */
/* One row for each installed service whose assigned release is whole and is not the one that runs; or, where there is
 * none, one for the core: it never changes together with services. */
static int
add_rows(struct update *u, json_t *items, bool core)
{
	int r = 0;

	for (size_t i = 0; u->has_assignment && i < u->assignment.n && r == 0; i++) {
		const struct assignment_release *a = &u->assignment.releases[i];
		SCOPED_JSON *missing = json_array();
		struct update_runs runs;
		struct update_release rel;

		if (!update_runs(u, a->service, &runs) || runs.core != core || (!runs.release[0] && !core) ||
			update_release_load(u, a, &rel) != 0)
			continue;
		r = update_missing(u, &rel, missing, NULL, 1, NULL);
		if (r == 0 && json_array_size(missing) == 0 && strcmp(rel.hex, runs.release) != 0)
			r = json_array_append_new(items,
				json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "service", a->service, "class",
					core ? "core" : "service", "from", runs.release, "from_version", runs.version, "to", rel.hex, "version", rel.tree->version,
					"held", u->held));
		update_release_done(&rel);
	}
	return r < 0 ? FAULT(-ENOMEM) : r;
}

static int
make_plan(struct update *u, json_t *items)
{
	int r = add_rows(u, items, false);

	return r || json_array_size(items) > 0 ? r : add_rows(u, items, true);
}

static int
plan_digest(const json_t *items, char out[SHA256_TEXT_MAX])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CLUSTER_BYTES_MAX);
	uint8_t digest[SHA256_LEN];
	int r = json_canonical(&b, items);

	if (r != 0)
		return r;
	sha256_of(digest, b.data, b.len);
	sha256_text(out, digest);
	return 0;
}

static int
on_plan(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED_JSON *items = json_array();
	char digest[SHA256_TEXT_MAX];
	int r;

	r = make_plan(arg, items);
	r = r ?: plan_digest(items, digest);
	if (r == 0)
		monitor_answer(call, json_pack("{s:O, s:s, s:o*}", "items", items, "digest", digest, "window",
			monitor_window_json(m, POLICY_WINDOW_UPDATES)));
	return r;
}

/* Begin the change to *take_rel, whose end answers call. */
static int
begin_change(struct update *u, struct monitor_call *call, enum change_kind kind, const struct update_release *rels,
	size_t n)
{
	int r = update_room(u, rels[0].tree->service);

	r = r ?: update_begin(u, kind, monitor_call_actor(call), rels, n);
	if (r == 0)
		update_wait_change(u, call);
	return r;
}

static int
begin_plan(struct update *u, struct monitor_call *call, const json_t *items)
{
	struct update_release rels[CHANGE_ITEMS_MAX];
	const json_t *row;
	size_t i, n = 0;
	int r = 0;

	if (strcmp(json_text(json_array_get(items, 0), "service"), CORE_SERVICE) == 0) {
		r = update_release_load(u, assignment_find(&u->assignment, CORE_SERVICE), &rels[0]);
		r = r ?: update_core_apply(u, call, &rels[0]);
		update_release_done(&rels[0]);
		return r;
	}
	json_array_foreach (items, i, row) {
		if (r != 0 || n == CHANGE_ITEMS_MAX)
			break;
		r = update_release_load(u, assignment_find(&u->assignment, json_text(row, "service")), &rels[n]);
		if (r == 0)
			n++;
	}
	r = r ?: begin_change(u, call, CHANGE_APPLY, rels, n);
	while (n > 0)
		update_release_done(&rels[--n]);
	return r;
}

static int
on_apply(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED_JSON *items = json_array();
	const char *wanted = monitor_call_text(call, "plan");
	char digest[SHA256_TEXT_MAX];
	int r;

	(void)m;
	if (u->held)
		return REFUSE(REASON_DENIED, "update", "updates are held: mainstay update unhold");
	r = make_plan(u, items);
	r = r ?: plan_digest(items, digest);
	if (r != 0)
		return r;
	if (wanted && strcmp(wanted, digest) != 0)
		return REFUSE(REASON_STATE_MOVED, wanted, "the plan is %s by now", digest);
	if (json_array_size(items) == 0)
		return REFUSE(REASON_NOT_FOUND, "update", "nothing is there to apply: every service runs its assigned release");
	snprintf(u->plan, sizeof(u->plan), "%s", digest);
	return begin_plan(u, call, items);
}

/* Back to the release that ran before the last good change. */
static int
on_rollback(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	struct services_state state;
	struct update_release rel;
	const char *service, *before;
	int r;

	(void)m;
	r = monitor_call_need(call, "service", &service);
	if (r == 0 && strcmp(service, CORE_SERVICE) == 0)
		return update_core_rollback(u, call);
	r = r ?: need_service(u, call, &service, &state);
	if (r != 0)
		return r;
	before = update_before(u, service, state.release);
	if (!before)
		return REFUSE(REASON_NOT_FOUND, service, "no release ran before this one");
	r = update_release_stored(u, before, &rel);
	if (r != 0)
		return r;
	r = begin_change(u, call, CHANGE_ROLLBACK, &rel, 1);
	update_release_done(&rel);
	return r;
}

/* --- state ------------------------------------------------------------------------------------------------------------- */
static int
on_check(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	if (!monitor_switch_on(m, SWITCH_UPDATES))
		return REFUSE(REASON_SWITCHED_OFF, "update", "the updates switch is off: mainstay on updates");
	monitor_statement_soon(m);
	monitor_push(m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	monitor_answer(call, json_pack("{s:b}", "asked", true));
	return 0;
}

static int
on_update_status(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;

	monitor_answer(call,
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o*, s:I}", "state", u->state, "service", u->service, "reason",
			u->reason, "text", u->text, "held", u->held, "core", core_json(u->core), "window",
			monitor_window_json(m, POLICY_WINDOW_UPDATES), "counter",
			(json_int_t)(u->has_assignment ? u->assignment.counter : 0)));
	return 0;
}

static int
on_history(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;

	(void)m;
	monitor_answer(call, json_pack("{s:O}", "items", u->history));
	return 0;
}

static int
set_held(struct update *u, struct monitor_call *call, bool held)
{
	int r;

	u->held = held;
	r = update_save(u);
	r = r ?: monitor_leaf(u->m, "update", monitor_call_actor(call), held ? "hold" : "unhold", NULL, REASON_NONE);
	if (r == 0)
		monitor_answer(call, json_pack("{s:b}", "held", u->held));
	return r;
}

static int
on_hold(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)m;
	return set_held(arg, call, true);
}

static int
on_unhold(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)m;
	return set_held(arg, call, false);
}

/* k of the owners say yes to exactly these bytes of the core, whoever assigns them and whenever they come. */
static int
on_approve(struct monitor *m, struct monitor_call *call, void *arg)
{
	uint8_t digest[SHA256_LEN];
	enum owner_kind kind;
	const char *text;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = monitor_call_need(call, "digest", &text);

	(void)arg;
	if (r == 0 && !sha256_parse(digest, text))
		r = REFUSE(REASON_USAGE, text, "is no digest: sha256:HEX");
	r = r ?: monitor_owners(m, 1U << OWNER_CORE, digest, body, len, &kind);
	r = r ?: monitor_leaf(m, "accept", monitor_call_actor(call), "core", digest, REASON_NONE);
	r = r ?: core_approved_add(monitor_dir(m), digest);
	if (r != 0)
		return r;
	/* What was refused without them can be fetched now. */
	monitor_push(m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	monitor_answer(call, json_pack("{s:s, s:b}", "release", text, "approved", true));
	return 0;
}

static const struct {
	const char *verb;
	monitor_verb_fn *fn;
} verbs[] = {
	{ "service.install", on_install },
	{ "service.remove", on_remove },
	{ "service.rights", on_rights },
	{ "service.accept", on_accept },
	{ "update.check", on_check },
	{ "update.plan", on_plan },
	{ "update.apply", on_apply },
	{ "update.approve", on_approve },
	{ "update.status", on_update_status },
	{ "update.history", on_history },
	{ "update.hold", on_hold },
	{ "update.unhold", on_unhold },
	{ "update.rollback", on_rollback },
};

int
update_verbs_init(struct update *u)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(verbs) && r == 0; i++)
		r = monitor_register_verb(u->m, verbs[i].verb, CALL_ROLE_CONTROL, verbs[i].fn, u);
	return r;
}
