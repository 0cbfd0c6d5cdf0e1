#include "updater/activate/update_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
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

/* --- cluster.yaml: the one desired state -------------------------------------------------------------------------- */
int
update_cluster_text(struct update *u, int *ret_etc, struct buf *text)
{
	int r;

	r = fs_open_dir(ret_etc, -1, monitor_paths(u->m)->etc, 0755);
	r = r ?: fs_read(*ret_etc, UPDATE_CLUSTER_NAME, UPDATE_CLUSTER_MAX, text);
	if (r == REASON_NOT_FOUND)
		return 0; /* an empty cluster */
	if (r == REASON_TOO_LARGE)
		return REFUSE(REASON_TOO_LARGE, UPDATE_CLUSTER_NAME, "over %d bytes", UPDATE_CLUSTER_MAX);
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
/* Its first release is going in, and may yet go back: a crash ends the command that began it, and not the install. */
static bool
goes_in(const struct update *u, const char *service)
{
	const struct change_item *item = u->run ? change_find(change_run_state(u->run), service) : NULL;

	return item && !item->from[0];
}

struct reading {
	struct update *u;
	char service[SERVICES_NAME_MAX + 1];
};

/* Where nobody could read cluster.yaml with the service in it, no release of it will ever come. */
static void
on_install_read(int r, void *arg)
{
	struct reading *rd = arg;

	if (r)
		update_fail_waiting(rd->u, rd->service, r);
	free(rd);
}

static int
read_install(struct update *u, const char *service)
{
	struct reading *rd = calloc(1, sizeof(*rd));
	int r;

	if (!rd)
		return FAULT(-ENOMEM);
	rd->u = u;
	(void)snprintf(rd->service, sizeof(rd->service), "%s", service);
	r = services_reload_then(u->m, on_install_read, rd);
	if (r)
		free(rd);
	return FAULT(r);
}

static int
on_install(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED(buf_done) struct buf old = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(scope_close) int etc = -1;
	struct services_state state = { 0 };
	const char *service, *channel = monitor_call_text(call, "channel");
	bool known, there = false;
	int r;

	r = monitor_call_need(call, "service", &service);
	if (r != 0)
		return r;
	if (!monitor_recorded(m))
		return REFUSE(REASON_NOT_APPROVED, service, "the site has no engineer-signed site record yet: an engineer of the vendor accepts the site, and it comes "
			"by itself while a switch is on");
	if (!monitor_switch_on(m, SWITCH_UPDATES))
		return REFUSE(REASON_SWITCHED_OFF, service, "releases come with the updates switch: mainstay on updates");
	known = services_find(m, service, &state);
	if (known && state.release[0] && !goes_in(u, service))
		return REFUSE(REASON_CONFLICT, service, "release %s is installed already", state.version);
	/* What the file says now: somebody may have written it since it was read, as a command that was interrupted does. */
	r = update_cluster_text(u, &etc, &old);
	r = r ?: cluster_names(&there, buf_text(&old), old.len, service);
	if (r == 0 && there && known && state.wanted && channel && strcmp(channel, state.channel) != 0)
		return REFUSE(REASON_CONFLICT, service, "cluster.yaml says channel %s: change it there, or leave --channel out",
			state.channel);
	r = r ?: update_room(u, service);
	if (r == 0 && !there) {
		r = cluster_install(&text, buf_text(&old), old.len, service, channel);
		r = r ?: fs_replace(etc, UPDATE_CLUSTER_NAME, text.data, text.len, 0644);
	}
	if (r != 0)
		return r;
	update_wait_install(u, call, service, !there);
	r = there ? 0 : read_install(u, service);
	if (r != 0) {
		update_fail_waiting(u, service, r);
		return 0; /* it is answered */
	}
	if (goes_in(u, service))
		return 0; /* and is told how it ends */
	update_set(u, "fetching", service, REASON_NONE, "");
	monitor_statement_soon(m);
	monitor_push(m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	return 0;
}

struct removal {
	struct update *u;
	struct monitor_call *call;
	char service[65];
	bool ran;
	int r; /* why it stays, below zero: a fault */
	struct refusal why;
};

static int
leaf_removal(struct update *u, struct monitor_call *call, const char *service, enum reason reason)
{
	char object[SERVICES_NAME_MAX + 16];

	(void)snprintf(object, sizeof(object), "%s remove", service);
	return monitor_leaf(u->m, "service", monitor_call_actor(call), object, NULL, reason);
}

/* What refuses it refuses it before it is stopped; what cannot be written down is not begun. */
static int
begin_removal(struct update *u, struct monitor_call *call, const char *service)
{
	SCOPED(buf_done) struct buf old = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(scope_close) int etc = -1;
	int r = update_cluster_text(u, &etc, &old);

	r = r ?: cluster_remove(&text, buf_text(&old), old.len, service);
	return r ?: leaf_removal(u, call, service, REASON_NONE);
}

static int
forget_service(struct update *u, const char *service)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(buf_done) struct buf old = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(scope_close) int etc = -1;
	struct lock lock;
	int r;

	r = update_cluster_text(u, &etc, &old);
	r = r ?: cluster_remove(&text, buf_text(&old), old.len, service);
	r = r ?: lock_read(&lock, monitor_paths(u->m));
	r = r ?: accepted_load(&a, monitor_dir(u->m));
	/* cluster.yaml last: while it names the service, a removal that was cut off can be asked for again. */
	if (r == 0 && lock_find(&lock, service)) {
		r = lock_remove(&lock, service);
		r = r ?: lock_write(&lock, monitor_paths(u->m));
	}
	r = r ?: accepted_forget(a, service);
	r = r ?: accepted_save(a, monitor_dir(u->m));
	return r ?: fs_replace(etc, UPDATE_CLUSTER_NAME, text.data, text.len, 0644);
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
on_put_back(int r, void *arg)
{
	struct removal *rm = arg;

	if (r < 0)
		log_fault(r, "starting a service that could not be removed");
	answer_removal(rm->r < 0 ? rm->r : refuse_relay(rm->why.reason, rm->why.operand, rm->why.place, rm->why.text), rm);
}

/* It stays: as it was, where it is whole; and the leaf that says it goes is not the last word. */
static void
put_back(struct removal *rm, int r)
{
	struct monitor *m = rm->u->m;
	struct services_state state;

	rm->r = r;
	rm->why = *refuse_last();
	r = leaf_removal(rm->u, rm->call, rm->service, r < 0 ? REASON_FAULT : (enum reason)r);
	if (r < 0)
		log_fault(r, "leaf of a service that stays");
	services_reload(m); /* it may be half forgotten */
	if (!rm->ran || !services_find(m, rm->service, &state) || !state.release[0] ||
		services_start(m, rm->service, on_put_back, rm) < 0)
		on_put_back(0, rm);
}

/* No file names it any more, whoever could be asked about cluster.yaml since. */
static void
on_read(int r, void *arg)
{
	if (r < 0)
		log_fault(r, "reading cluster.yaml, out of which a service was taken");
	answer_removal(0, arg);
}

static void
on_stopped(int r, void *arg)
{
	struct removal *rm = arg;

	/* A service that never ran has nothing to stop. */
	if (r != 0 && r != REASON_NOT_FOUND) {
		put_back(rm, r);
		return;
	}
	r = forget_service(rm->u, rm->service);
	if (r != 0) {
		put_back(rm, r);
		return;
	}
	r = services_reload_then(rm->u->m, on_read, rm);
	if (r != 0)
		on_read(r, rm);
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
	r = begin_removal(u, call, service);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	rm = calloc(1, sizeof(*rm));
	if (!rm)
		return FAULT(-ENOMEM);
	rm->u = u;
	rm->call = call;
	rm->ran = strcmp(state.state, "stopped") != 0;
	snprintf(rm->service, sizeof(rm->service), "%s", service);
	r = services_stop(m, service, on_stopped, rm);
	if (r < 0) {
		free(rm);
		return FAULT(r);
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

/* --- state ------------------------------------------------------------------------------------------------------------- */
/* The names of the services that cluster.yaml holds. */
static json_t *
held_services(struct monitor *m)
{
	json_t *names = json_array();
	struct services_state state;

	for (size_t i = 0; names && i < services_count(m) && services_at(m, i, &state); i++) {
		const struct cluster_service *wanted = services_cluster(m, state.name);

		if (wanted && wanted->hold && json_array_append_new(names, json_string(state.name)) < 0)
			names = (json_decref(names), NULL);
	}
	return names;
}

static int
on_update_status(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;

	monitor_answer(call,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o*, s:o, s:I}", "last_change",
			json_text(json_array_get(u->history, json_array_size(u->history) - 1), "time"), "state", u->state, "service", u->service, "reason",
			u->reason, "text", u->text, "held", u->held, "held_services", held_services(m), "core", core_json(u->core), "window",
			monitor_window_json(m, POLICY_WINDOW_UPDATES), "store", update_store_json(u), "counter",
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
	unsigned roles;
} verbs[] = {
	{ "service.install", on_install, CALL_ROLE_CONTROL },
	{ "service.remove", on_remove, CALL_ROLE_CONTROL },
	{ "update.approve", on_approve, CALL_ROLE_CONTROL },
	{ "update.status", on_update_status, CALL_ROLE_CONTROL | CALL_ROLE_LOOK },
	{ "update.history", on_history, CALL_ROLE_CONTROL | CALL_ROLE_LOOK },
};

int
update_verbs_init(struct update *u)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(verbs) && r == 0; i++)
		r = monitor_register_verb(u->m, verbs[i].verb, verbs[i].roles, verbs[i].fn, u);
	r = r ?: update_rights_init(u);
	r = r ?: update_look_init(u);
	r = r ?: update_hold_init(u);
	return r ?: update_apply_init(u);
}
