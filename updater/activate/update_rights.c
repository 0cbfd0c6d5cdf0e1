/* service.rights and service.accept: what releases ask for, and the customer's yes to it. */
#include "updater/activate/update_verbs.h"

#include <string.h>

#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "updater/activate/rights.h"
#include "updater/activate/update.h"

static int
need_service(struct update *u, const struct monitor_call *call, const char **ret, struct services_state *state)
{
	int r = monitor_call_need(call, "service", ret);

	if (r == 0 && !services_find(u->m, *ret, state))
		r = REFUSE(REASON_NOT_FOUND, *ret, "cluster.yaml names no such service");
	return r;
}

/* The release that waits in the store to take the running one's place. */
static bool
staged_release(const struct update *u, const char *service, const struct services_state *state, char hex[65])
{
	const struct assignment_release *a = u->has_assignment ? assignment_find(&u->assignment, service) : NULL;

	if (!a)
		return false;
	hex_encode(hex, a->sha256, sizeof(a->sha256));
	return strcmp(hex, state->release) != 0 && update_is_staged(u, hex);
}

static int
on_rights(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	struct services_state state;
	const char *service;
	json_t *rights, *staged;
	char hex[65];
	int r;

	r = need_service(u, call, &service, &state);
	r = r ?: update_release_definition(u, state.release, &d);
	r = r ?: accepted_load(&a, monitor_dir(m));
	r = r ?: rights_list(&rights, d, a);
	if (r != 0)
		return r;
	/* What waits to be put in may ask for more, and cannot go in before that is accepted. */
	if (staged_release(u, service, &state, hex)) {
		definition_free(d);
		d = NULL;
		r = update_release_definition(u, hex, &d);
		r = r ?: rights_list(&staged, d, a);
		if (r != 0) {
			json_decref(rights);
			return r;
		}
		(void)json_object_set_new(rights, "staged", staged);
	}
	monitor_answer(call, rights);
	return 0;
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
	char hex[65];
	int r;

	r = need_service(u, call, &service, &state);
	r = r ?: monitor_call_need(call, "kind", &kind);
	if (r != 0)
		return r;
	/* Powers are of what is to come; operations and fields of what runs. */
	if (strcmp(kind, "power") != 0 || !staged_release(u, service, &state, hex))
		(void)snprintf(hex, sizeof(hex), "%s", state.release);
	r = update_release_definition(u, hex, &d);
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

int
update_rights_init(struct update *u)
{
	int r = monitor_register_verb(u->m, "service.rights", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_rights, u);

	return r ?: monitor_register_verb(u->m, "service.accept", CALL_ROLE_CONTROL, on_accept, u);
}
