/* What one service is, and its secrets:
 *
 *	service.show          service         {"name","version","release","class","state","health","network","requires",
 *	                                       "knobs":[...],"powers":[...],"operations":[...],"secrets":[...],"notes"}
 *	service.secret.list   service         {"items":[{"name","help","made"}]}
 *	service.secret.set    service key, the value as body      {"service","secret","restarted","state","health"}
 *	service.secret.rotate service key     the same
 *
 * A secret reaches a process when it starts, so that a running service is started again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/service/secret.h"

struct change {
	struct monitor *m;
	struct monitor_call *call;
	char service[SERVICES_NAME_MAX + 1];
	char secret[DEFINITION_NAME_MAX + 1];
};

static int
need_service(struct monitor *m, const struct monitor_call *call, struct services_state *ret_state,
	struct definition **ret)
{
	const char *service;
	int r = monitor_call_need(call, "service", &service);

	if (r)
		return r;
	r = services_need(m, service, ret_state);
	return r ?: services_definition(m, service, ret);
}

/* --- show ---------------------------------------------------------------------------------------- */
static json_t *
knobs_json(const struct definition *d, const json_t *values)
{
	static const char *const applies[] = { "reload", "restart", "next-start" };
	json_t *all = json_array();

	for (size_t i = 0; i < d->n_knobs; i++) {
		const struct definition_param *p = &d->knobs[i];
		json_t *value = json_object_get(values, p->name);

		(void)json_array_append_new(all,
			json_pack("{s:s, s:O, s:O, s:b, s:s, s:s}", "name", p->name, "value", value,
				"default", p->fallback, "changed", !json_equal(value, p->fallback),
				"apply", applies[p->apply], "help", p->help));
	}
	return all;
}

static json_t *
operations_json(const struct definition *d, const struct accepted *a)
{
	SCOPED_JSON *all = json_array();

	for (size_t i = 0; i < d->n_operations; i++) {
		const struct definition_operation *op = &d->operations[i];
		uint8_t rights[32];
		int r = definition_rights_digest(d, op, rights);

		if (r < 0)
			return NULL;
		(void)json_array_append_new(all,
			json_pack("{s:s, s:s, s:b, s:s}", "name", op->name, "risk",
				definition_risk_text(op->risk), "accepted",
				r == 0 && accepted_operation(a, d->name, op->name, rights), "help", op->help));
	}
	return STEAL(all);
}

static int
on_show(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED_JSON *knobs = NULL, *powers = NULL, *secrets = NULL;
	struct services_state state;
	char release[80];
	json_t *out;
	int r = need_service(m, call, &state, &d);

	(void)arg;
	r = r ?: services_knobs(m, state.name, &knobs);
	r = r ?: definition_powers(d, &powers);
	r = r ?: secret_list(&secrets, &m->paths, d);
	r = r ?: accepted_load(&a, m->dir_fd);
	if (r)
		return r < 0 ? FAULT(r) : r;
	(void)snprintf(release, sizeof(release), "sha256:%s", state.release);
	out = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:O, s:o, s:O}", "name", state.name,
		"version", state.version, "release", release, "channel", state.channel, "state",
		state.state, "health", state.health, "network", definition_network_text(d->network),
		"knobs", knobs_json(d, knobs), "powers", powers, "operations", operations_json(d, a),
		"secrets", secrets);
	if (!out)
		return FAULT(-ENOMEM);
	if (d->requires_services)
		(void)json_object_set_new(out, "requires", json_copy_whole(d->requires_services, JSON_DEEP));
	if (d->notes)
		(void)json_object_set_new(out, "notes", json_copy_whole(d->notes, JSON_DEEP));
	monitor_answer(call, out);
	return 0;
}

/* --- secrets ------------------------------------------------------------------------------------- */
static int
on_secrets(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	struct services_state state;
	json_t *items = NULL;
	int r = need_service(m, call, &state, &d);

	(void)arg;
	r = r ?: secret_list(&items, &m->paths, d);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_answer(call, json_pack("{s:o}", "items", items));
	return 0;
}

static int
need_secret(const struct definition *d, const char *key, const struct definition_secret **ret)
{
	const char *names[DEFINITION_SECRETS_MAX], *near;

	*ret = definition_secret(d, key);
	if (*ret)
		return 0;
	for (size_t i = 0; i < d->n_secrets; i++)
		names[i] = d->secrets[i].name;
	near = nearest_word(key, names, d->n_secrets);
	return REFUSE(REASON_NOT_FOUND, d->name, "there is no secret \"%s\"%s%s%s", key,
		near ? "; did you mean \"" : "", near ?: "", near ? "\"?" : "");
}

static void
answer(struct change *c, int r, bool restarted)
{
	struct services_state state = { .state = "stopped", .health = "unknown" };

	(void)services_find(c->m, c->service, &state);
	monitor_answer_result(c->call, r,
		json_pack("{s:s, s:s, s:b, s:s, s:s}", "service", c->service, "secret", c->secret,
			"restarted", restarted, "state", state.state, "health", state.health));
	free(c);
}

static void
on_restarted(int r, void *arg)
{
	answer(arg, r, true);
}

static int
change(struct monitor *m, struct monitor_call *call, bool rotate)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(scope_free) struct change *c = calloc(1, sizeof(*c));
	const struct definition_secret *secret;
	struct services_state state;
	char object[SERVICES_NAME_MAX + DEFINITION_NAME_MAX + 16];
	const char *key, *value;
	size_t len;
	int r = need_service(m, call, &state, &d);

	r = r ?: monitor_call_need(call, "key", &key);
	r = r ?: need_secret(d, key, &secret);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!c)
		return FAULT(-ENOMEM);
	*c = (struct change){ .m = m, .call = call };
	(void)snprintf(c->service, sizeof(c->service), "%s", state.name);
	(void)snprintf(c->secret, sizeof(c->secret), "%s", secret->name);
	(void)snprintf(object, sizeof(object), "%s secret %s", c->service, c->secret);
	r = monitor_leaf(m, "service", monitor_call_actor(call), object, NULL, REASON_NONE);
	if (r)
		return FAULT(r);
	value = monitor_call_body(call, &len);
	r = rotate ? secret_rotate(&m->paths, c->service, secret)
		   : secret_set(&m->paths, c->service, secret, value, len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!strcmp(state.state, "stopped")) {
		answer(STEAL(c), 0, false);
		return 0;
	}
	r = services_restart(m, c->service, on_restarted, c);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_call_hold(call, NULL, NULL);
	c = NULL; /* on_restarted() frees it */
	return 0;
}

static int
on_secret_set(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return change(m, call, false);
}

static int
on_secret_rotate(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return change(m, call, true);
}

int
service_secret_init(struct monitor *m)
{
	int r = monitor_register_verb(m, "service.show", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_show, NULL);

	r = r ?: monitor_register_verb(m, "service.secret.list", CALL_ROLE_CONTROL, on_secrets, NULL);
	r = r ?: monitor_register_verb(m, "service.secret.set", CALL_ROLE_CONTROL, on_secret_set, NULL);
	return r ?: monitor_register_verb(m, "service.secret.rotate", CALL_ROLE_CONTROL,
			   on_secret_rotate, NULL);
}
