/* Control verbs over services (install, remove and accept are the updater's):
 *
 *	service.list                          {"items":[{name release version channel state health knobs restarts why}]}
 *	service.start|stop|restart|reload  service   {"service","state","health"}; what they do: services_verb.c
 *
 * service.set is in service_set.c, service.show and service.secret.* in service_secret.c. */
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

struct order {
	struct monitor *m;
	struct monitor_call *call;
	char service[SERVICES_NAME_MAX + 1];
};

static struct order *
order_free(struct order *o)
{
	free(o);
	return NULL;
}

SCOPED_DESTRUCTOR(struct order, order_free)

static int
new_order(struct order **ret, struct monitor *m, struct monitor_call *call)
{
	const char *service;
	int r = monitor_call_need(call, "service", &service);

	if (r)
		return r;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return FAULT(-ENOMEM);
	(*ret)->m = m;
	(*ret)->call = call;
	(void)snprintf((*ret)->service, sizeof((*ret)->service), "%s", service);
	return 0;
}

/* --- cluster.yaml -------------------------------------------------------------------------------- */
int
service_verbs_text(const struct monitor *m, int *ret_etc, struct buf *text)
{
	int r = fs_open_dir(ret_etc, AT_FDCWD, m->paths.etc, 0755);

	r = r ?: fs_read(*ret_etc, "cluster.yaml", text->max, text);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, "cluster.yaml", "cannot be read");
	return FAULT(r);
}

/* --- start, stop, restart, reload ------------------------------------------------------------------------ */
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

static int
take(struct monitor *m, struct monitor_call *call, enum definition_verb verb)
{
	SCOPED(order_freep) struct order *o = NULL;
	char object[SERVICES_NAME_MAX + 16];
	int r = new_order(&o, m, call);

	r = r ?: services_verb_check(m, o->service, verb);
	if (r)
		return r;
	(void)snprintf(object, sizeof(object), "%s %s", o->service, definition_verb_text(verb));
	r = monitor_leaf(m, "service", monitor_call_actor(call), object, NULL, REASON_NONE);
	r = r ?: services_verb(m, o->service, verb, on_done, o);
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
	return take(m, call, DEFINITION_VERB_START);
}

static int
on_stop(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return take(m, call, DEFINITION_VERB_STOP);
}

static int
on_restart(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return take(m, call, DEFINITION_VERB_RESTART);
}

static int
on_reload(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return take(m, call, DEFINITION_VERB_RELOAD);
}

/* --- list ---------------------------------------------------------------------------------------- */
static int
on_list(struct monitor *m, struct monitor_call *call, void *arg)
{
	json_t *items = status_services(m), *item;
	struct services_state s;
	char none[SERVICES_NAME_MAX + 48];
	size_t i;

	(void)arg;
	json_array_foreach(items, i, item) {
		const char *name = json_text(item, "name");

		(void)snprintf(none, sizeof(none), "not installed: mainstay service install %s", name);
		if (services_find(m, name, &s))
			(void)json_put_text(item, "why", s.release[0] ? s.why : none);
	}
	monitor_answer(call, json_pack("{s:o}", "items", items));
	return 0;
}

int
service_verbs_init(struct monitor *m)
{
	int r = monitor_register_verb(m, "service.list", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_list, NULL);

	r = r ?: monitor_register_verb(m, "service.start", CALL_ROLE_CONTROL, on_start, NULL);
	r = r ?: monitor_register_verb(m, "service.stop", CALL_ROLE_CONTROL, on_stop, NULL);
	r = r ?: monitor_register_verb(m, "service.restart", CALL_ROLE_CONTROL, on_restart, NULL);
	r = r ?: monitor_register_verb(m, "service.reload", CALL_ROLE_CONTROL, on_reload, NULL);
	r = r ?: service_set_init(m);
	return r ?: service_secret_init(m);
}
