/* Control verbs over services (install, remove and accept are the updater's):
 *
 *	service.list                          {"items":[{name release version channel state health knobs restarts}]}
 *	service.start|stop|restart  service   {"service","state","health"}; start and stop are written to cluster.yaml
 *	service.set  service [diff=true] set=KNOB=VALUE...  {"service","difference","restarted"}; an empty VALUE unsets */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services_room.h"
#include "appliance/monitor/status.h"
#include "appliance/service/definition.h"

struct order {
	struct monitor *m;
	struct monitor_call *call;
	char service[SERVICES_NAME_MAX + 1];
	char *difference; /* of set; owned */
	bool restart;	  /* of set: a knob that needs it changed */
	int (*step)(struct monitor *m, const char *name, services_done_fn *done, void *arg);
};

static struct order *
order_free(struct order *o)
{
	if (o)
		free(o->difference);
	free(o);
	return NULL;
}

SCOPED_DESTRUCTOR(struct order, order_free)

static int
new_order(struct order **ret, struct monitor *m, struct monitor_call *call)
{
	struct services_state state;
	const char *service;
	int r = monitor_call_need(call, "service", &service);

	if (r)
		return r;
	if (!services_find(m, service, &state))
		return REFUSE(REASON_NOT_FOUND, service, "no such service is installed");
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return FAULT(-ENOMEM);
	(*ret)->m = m;
	(*ret)->call = call;
	(void)snprintf((*ret)->service, sizeof((*ret)->service), "%s", service);
	return 0;
}

/* --- cluster.yaml -------------------------------------------------------------------------------- */
static int
read_text(const struct monitor *m, int *ret_etc, struct buf *text)
{
	int r = fs_open_dir(ret_etc, AT_FDCWD, m->paths.etc, 0755);

	r = r ?: fs_read(*ret_etc, "cluster.yaml", text->max, text);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, "cluster.yaml", "cannot be read");
	return FAULT(r);
}

/* --- start, stop, restart ------------------------------------------------------------------------ */
static void
on_done(int r, void *arg)
{
	SCOPED(order_freep) struct order *o = arg;
	struct services_state state = { .state = "stopped", .health = "unknown" };
	json_t *out;

	(void)services_find(o->m, o->service, &state);
	out = json_pack("{s:s, s:s, s:s}", "service", o->service, "state", state.state, "health",
		state.health);
	monitor_answer_result(o->call, r, out);
}

static void
on_read(int r, void *arg)
{
	struct order *o = arg;

	r = r ?: o->step(o->m, o->service, on_done, o);
	if (r)
		on_done(r, o);
}

/* "stopped: true" makes a stop last over restarts of ours. */
static int
write_stopped(const struct order *o, bool stopped)
{
	SCOPED(buf_done) struct buf old = BUF_MAX(YAML_BYTES_MAX), new = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(scope_close) int etc = -1;
	int r = read_text(o->m, &etc, &old);

	r = r
		?: cluster_member(&new, buf_text(&old), old.len, o->service, "stopped",
			   stopped ? "true" : NULL);
	/* What only the lock still knows has no line in the file. */
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: fs_replace(etc, "cluster.yaml", new.data, new.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

static int
step_order(struct monitor *m, struct monitor_call *call, const char *word,
	int (*step)(struct monitor *, const char *, services_done_fn *, void *))
{
	SCOPED(order_freep) struct order *o = NULL;
	char object[SERVICES_NAME_MAX + 16];
	int r = new_order(&o, m, call);

	if (r)
		return r;
	o->step = step;
	(void)snprintf(object, sizeof(object), "%s %s", o->service, word);
	r = monitor_leaf(m, "service", monitor_call_actor(call), object, NULL, REASON_NONE);
	if (r == 0 && step != services_restart)
		r = write_stopped(o, step == services_stop);
	r = r ?: services_reload_then(m, on_read, o);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_call_hold(call, NULL, NULL);
	o = NULL; /* on_done() frees it */
	return 0;
}

static int
on_start(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return step_order(m, call, "start", services_start);
}

static int
on_stop(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return step_order(m, call, "stop", services_stop);
}

static int
on_restart(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return step_order(m, call, "restart", services_restart);
}

/* --- set ----------------------------------------------------------------------------------------- */
/* One KNOB=VALUE into the text.  The value is checked by the definition where a release is active. */
static int
set_knob(struct order *o, const struct definition *d, const char *assignment, struct buf *text)
{
	SCOPED(buf_done) struct buf next = BUF_MAX(YAML_BYTES_MAX);
	SCOPED_JSON *typed = NULL;
	const struct definition_param *param = NULL;
	const char *eq = strchr(assignment, '=');
	char knob[CLUSTER_NAME_MAX + 1];
	int r = 0;

	if (!eq || eq == assignment || eq - assignment > CLUSTER_NAME_MAX)
		return REFUSE(REASON_USAGE, assignment, "must be KNOB=VALUE");
	memcpy(knob, assignment, (size_t)(eq - assignment));
	knob[eq - assignment] = '\0';
	if (d)
		r = definition_need_knob(d, knob, &param);
	if (r == 0 && param && eq[1])
		r = definition_parse_value(param, eq + 1, &typed);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!param || param->apply == DEFINITION_APPLY_RESTART)
		o->restart = true;
	r = cluster_set(&next, buf_text(text), text->len, o->service, knob, eq[1] ? eq + 1 : NULL);
	if (r)
		return r < 0 ? FAULT(r) : r;
	buf_reset(text);
	buf_put(text, next.data, next.len);
	return FAULT(buf_error(text));
}

static void
answer_set(struct order *o, int r, bool restarted)
{
	monitor_answer_result(o->call, r,
		json_pack("{s:s, s:s, s:b}", "service", o->service, "difference", o->difference,
			"restarted", restarted));
	order_free(o);
}

static void
on_set_restarted(int r, void *arg)
{
	answer_set(arg, r, true);
}

static void
on_set_read(int r, void *arg)
{
	struct order *o = arg;
	struct services_state state = { 0 };
	bool runs = services_find(o->m, o->service, &state) &&
		strcmp(state.state, "stopped") != 0 && state.release[0];

	if (r || !o->restart || !runs) {
		answer_set(o, r, false);
		return;
	}
	r = services_restart(o->m, o->service, on_set_restarted, o);
	if (r < 0)
		answer_set(o, r, false);
}

static int
edit_all(struct order *o, const struct monitor_call *call, const struct buf *old, struct buf *new)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf diff = BUF_MAX(4 * YAML_BYTES_MAX);
	struct services_state state;
	const char *name, *value;
	int r = 0;

	buf_put(new, old->data, old->len);
	if (services_find(o->m, o->service, &state) && state.release[0])
		r = services_definition(o->m, o->service, &d);
	for (size_t i = 0; r == 0 && monitor_call_param(call, i, &name, &value); i++)
		if (strcmp(name, "set") == 0)
			r = set_knob(o, d, value, new);
	if (r)
		return r;
	cluster_difference(&diff, buf_text(old), buf_text(new));
	o->difference = strdup(buf_text(&diff));
	return o->difference ? 0 : FAULT(-ENOMEM);
}

static int
on_set(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(order_freep) struct order *o = NULL;
	SCOPED(buf_done) struct buf old = BUF_MAX(YAML_BYTES_MAX), new = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(scope_close) int etc = -1;
	char object[SERVICES_NAME_MAX + 16];
	int r = new_order(&o, m, call);

	(void)arg;
	r = r ?: read_text(m, &etc, &old);
	r = r ?: edit_all(o, call, &old, &new);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (monitor_call_text(call, "diff") || !o->difference[0]) {
		answer_set(STEAL(o), 0, false);
		return 0;
	}
	(void)snprintf(object, sizeof(object), "%s set", o->service);
	r = monitor_leaf(m, "service", monitor_call_actor(call), object, NULL, REASON_NONE);
	r = r ?: fs_replace(etc, "cluster.yaml", new.data, new.len, 0644);
	r = r ?: services_reload_then(m, on_set_read, o);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_call_hold(call, NULL, NULL);
	o = NULL; /* answer_set() frees it */
	return 0;
}

/* --- list ---------------------------------------------------------------------------------------- */
static int
on_list(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	monitor_answer(call, json_pack("{s:o}", "items", status_services(m)));
	return 0;
}

int
service_verbs_init(struct monitor *m)
{
	int r = monitor_register_verb(m, "service.list", CALL_ROLE_CONTROL, on_list, NULL);

	r = r ?: monitor_register_verb(m, "service.start", CALL_ROLE_CONTROL, on_start, NULL);
	r = r ?: monitor_register_verb(m, "service.stop", CALL_ROLE_CONTROL, on_stop, NULL);
	r = r ?: monitor_register_verb(m, "service.restart", CALL_ROLE_CONTROL, on_restart, NULL);
	return r ?: monitor_register_verb(m, "service.set", CALL_ROLE_CONTROL, on_set, NULL);
}
