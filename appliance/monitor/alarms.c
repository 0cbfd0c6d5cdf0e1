#include "appliance/monitor/alarms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/egress/field.h"
#include "appliance/egress/schema.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/mutes.h"
#include "appliance/monitor/services.h"
#include "appliance/monitor/services_room.h"
#include "appliance/policy/policy.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/service/secret.h"

enum {
	ALARMS_MAX = 256,
	WORD_MAX = 64,
	TEXT_MAX = 512,
	GROUP_MAX = 512,
};

struct alarms {
	struct monitor *m;
	json_t *firing; /* array of alert objects */
};

/* --- what the collector may know ----------------------------------------------------------------- */
/* What was decided about every field of every service. */
static json_t *
make_fields(struct monitor *m)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;

	/* Where it cannot be read nothing is accepted; that was logged. */
	return accepted_load(&a, m->dir_fd) == 0 ? accepted_fields(a) : json_object();
}

/* The definition's sources with the knobs' values put into their templates; "{run}" stays: the collector knows it
 * as the service's folder. */
static int
put_metrics(json_t *item, const struct definition *d, const json_t *knobs)
{
	static const char *const templates[] = { "socket", "port" };
	const struct definition_values values = {
		.knobs = knobs, .run = "{run}", .data = "", .conf = "", .log = "", .of = d
	};
	SCOPED_JSON *all = json_deep_copy(d->metrics);
	json_t *one;
	size_t i;

	json_array_foreach(all, i, one)
		for (size_t k = 0; k < ARRAY_LEN(templates); k++) {
			const char *template = json_string_value(json_object_get(one, templates[k]));
			SCOPED(scope_free) char *text = NULL;
			int r = template ? definition_expand(template, &values, &text) : 0;

			if (r == 0 && text &&
				json_object_set_new(one, templates[k], json_string(text)) < 0)
				r = -ENOMEM;
			if (r)
				return r < 0 ? FAULT(r) : r;
		}
	return json_object_set(item, "metrics", all) < 0 ? FAULT(-ENOMEM) : 0;
}

/* Each log as a folder that the service has and a file beneath it, so that no link of the service's leads the collector
 * elsewhere; a file that is in none of them is left out. */
static int
put_logs(const struct monitor *m, json_t *item, const struct definition *d, const char *service,
	const json_t *knobs)
{
	char root[sizeof(m->paths.lib) + SERVICES_NAME_MAX + 32], data[sizeof(root) + 8],
		conf[sizeof(root) + 8], log[sizeof(root) + 8],
		run[sizeof(m->paths.run) + SERVICES_NAME_MAX + 32], own[SERVICES_NAME_MAX + 8];
	const char *const folders[] = { log, data, run };
	const struct definition_values values = {
		.knobs = knobs, .run = run, .data = data, .conf = conf, .log = log, .of = d
	};
	SCOPED_JSON *all = json_array();
	const json_t *one;
	size_t i, k;

	(void)snprintf(root, sizeof(root), "%s/services/%s", m->paths.lib, service);
	(void)snprintf(data, sizeof(data), "%s/data", root);
	(void)snprintf(conf, sizeof(conf), "%s/conf", root);
	(void)snprintf(log, sizeof(log), "%s/log", root);
	(void)snprintf(run, sizeof(run), "%s/services/%s", m->paths.run, service);
	(void)snprintf(own, sizeof(own), "%s.log", service);
	json_array_foreach(d->logs, i, one) {
		const char *template = json_string_value(json_object_get(one, "file"));
		const char *format = json_string_value(json_object_get(one, "format"));
		SCOPED(scope_free) char *path = NULL;
		const char *dir = log, *file = own;
		int r = template ? definition_expand(template, &values, &path) : 0;

		if (r < 0)
			return FAULT(r);
		for (k = 0; r == 0 && template && k < ARRAY_LEN(folders); k++)
			if (strncmp(path, folders[k], strlen(folders[k])) == 0 &&
				path[strlen(folders[k])] == '/') {
				dir = folders[k];
				file = path + strlen(dir) + 1;
				break;
			}
		if (r > 0 || (template && k == ARRAY_LEN(folders)))
			continue;
		if (json_array_append_new(all,
			    json_pack("{s:s, s:s, s:s, s:s}", "name",
				    json_string_value(json_object_get(one, "name")), "dir", dir,
				    "file", file, "format", format ? format : "plain")) < 0)
			return FAULT(-ENOMEM);
	}
	return json_object_set(item, "logs", all) < 0 ? FAULT(-ENOMEM) : 0;
}

static void
put_service(struct monitor *m, const struct services_state *s, json_t *services)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	char dir[sizeof(m->paths.run) + SERVICES_NAME_MAX + 16];
	SCOPED_JSON *knobs = NULL;
	json_t *item, *alerts;

	if (!s->release[0] || services_definition(m, s->name, &d) != 0)
		return;
	(void)snprintf(dir, sizeof(dir), "%s/services/%s", m->paths.run, s->name);
	alerts = json_object_get(d->json, "alerts");
	item = json_pack("{s:s, s:s, s:s}", "name", s->name, "release", s->release, "dir", dir);
	/* Without its knobs a service has no sources to ask; its alerts and its process are watched. */
	if ((d->metrics || d->logs) && services_knobs(m, s->name, &knobs) == 0) {
		if (d->metrics)
			(void)put_metrics(item, d, knobs);
		if (d->logs)
			(void)put_logs(m, item, d, s->name, knobs);
	}
	if (alerts)
		(void)json_object_set_new(item, "alerts", json_deep_copy(alerts));
	(void)json_array_append_new(services, item);
}

static int
make_config(struct monitor *m, json_t **ret)
{
	SCOPED_JSON *services = json_array(), *fields = make_fields(m);
	struct services_state s;
	json_t *classes = json_object_get(policy_json(m->policy), "classes");

	for (size_t i = 0; services_at(m, i, &s); i++)
		put_service(m, &s, services);
	*ret = json_pack("{s:s, s:b, s:O, s:O, s:o, s:o}", "site", monitor_site(m), "switch",
		m->switches.on[SWITCH_TELEMETRY], "services", services, "fields", fields, "classes",
		classes ? json_deep_copy(classes) : json_object(), "mutes", mutes_for_collector(m));
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
on_hello(struct monitor *m, struct monitor_call *call, void *arg)
{
	const struct alarms *a = arg;
	json_t *config = NULL;
	int r = make_config(m, &config);

	if (r)
		return r;
	/* What it does not know to fire any more it tells as resolved. */
	if (json_object_set_new(config, "standing", json_deep_copy(a->firing)) < 0) {
		json_decref(config);
		return FAULT(-ENOMEM);
	}
	monitor_answer(call, config);
	return 0;
}

/* --- secrets of those who are watched ------------------------------------------------------------- */
static bool
names_secret(const struct definition *d, const char *secret)
{
	const json_t *one;
	size_t i;

	json_array_foreach(d->metrics, i, one) {
		const char *name = json_string_value(json_object_get(one, "secret"));

		if (name && strcmp(name, secret) == 0)
			return true;
	}
	return false;
}

/* The collector may be broken into by what it reads: it gets what a definition gives it, no other secret. */
static int
on_secret(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(buf_wipe) struct buf value = BUF_MAX(SECRET_VALUE_MAX);
	SCOPED(definition_freep) struct definition *d = NULL;
	const char *service, *secret;
	json_t *answer;
	int r = monitor_call_need(call, "service", &service);

	(void)arg;
	r = r ?: monitor_call_need(call, "secret", &secret);
	r = r ?: services_definition(m, service, &d);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!names_secret(d, secret))
		return REFUSE(REASON_DENIED, secret, "no metrics of %s need it", service);
	r = secret_value(&value, &m->paths, service, definition_secret(d, secret));
	if (r)
		return r < 0 ? FAULT(r) : r;
	answer = json_pack("{s:s%}", "value", buf_text(&value), value.len);
	if (!answer)
		return REFUSE(REASON_MALFORMED, secret, "is no text; set it anew");
	monitor_answer(call, answer);
	return 0;
}

/* --- accepting fields ---------------------------------------------------------------------------- */
/* "FIELD" or "FIELD SHAPE"; a field holds no space.  shape "" where there is none. */
struct decided {
	char field[FIELD_NAME_MAX + 1];
	const char *shape;
};

static int
read_decided(const char *text, struct decided *ret)
{
	size_t len = strcspn(text, " ");

	ret->shape = text[len] ? text + len + 1 : "";
	(void)snprintf(ret->field, sizeof(ret->field), "%.*s", (int)(len < sizeof(ret->field) ? len : 0), text);
	if (!field_valid(ret->field))
		return REFUSE(REASON_USAGE, text, "is no field");
	if (text[len] && !schema_shape_valid(ret->shape))
		return REFUSE(REASON_USAGE, text, "has no shape of a field");
	return 0;
}

/* All of them, before the first is in the log. */
static int
check_fields(const struct monitor_call *call)
{
	const char *name, *value;
	struct decided d;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && monitor_call_param(call, i, &name, &value); i++) {
		if (strcmp(name, "field") != 0)
			continue;
		r = read_decided(value, &d);
		n++;
	}
	if (r)
		return r;
	return n > 0 ? 0 : REFUSE(REASON_USAGE, "field", "is missing");
}

/* Fields of a service are accepted with it; these are the host's, or what came later, or what a person refuses. */
static int
decide(struct monitor *m, struct monitor_call *call, bool accept)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	const char *name, *value;
	char object[FIELD_NAME_MAX + 16];
	struct decided d;
	int r = check_fields(call);

	r = r ?: accepted_load(&a, m->dir_fd);
	for (size_t i = 0; r == 0 && monitor_call_param(call, i, &name, &value); i++) {
		if (strcmp(name, "field") != 0)
			continue;
		r = read_decided(value, &d);
		(void)snprintf(object, sizeof(object), "%s%s", accept ? "" : "refuse ", d.field);
		r = r ?: monitor_leaf(m, "accept", monitor_call_actor(call), object, NULL, REASON_NONE);
		r = r ?: accept ? accepted_add_field(a, "host", d.field, d.shape)
				: accepted_refuse_field(a, d.field);
	}
	r = r ?: accepted_save(a, m->dir_fd);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_changed(m, MONITOR_CHANGE_POLICY);
	return 0;
}

static int
on_accept(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return decide(m, call, true);
}

static int
on_refuse(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)arg;
	return decide(m, call, false);
}

/* --- alerts -------------------------------------------------------------------------------------- */
struct told {
	const char *name, *service, *group, *state, *since, *severity, *text, *value, *muted_by, *operation;
};

/* What goes into a leaf and on terminals; NULL is nothing. */
static bool
is_plain(const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~')
			return false;
	return len <= max;
}

static bool
is_text(const char *text, size_t max)
{
	SCOPED_JSON *json = text ? json_string(text) : json_null();

	return json && (!text || strlen(text) <= max); /* NULL where it is no UTF-8 */
}

static bool
is_state(const char *text)
{
	return strcmp(text, "firing") == 0 || strcmp(text, "muted") == 0 || strcmp(text, "resolved") == 0;
}

static int
read_alert(const struct monitor_call *call, struct told *ret)
{
	uint64_t since;
	int r = monitor_call_need(call, "name", &ret->name);

	r = r ?: monitor_call_need(call, "service", &ret->service);
	r = r ?: monitor_call_need(call, "state", &ret->state);
	r = r ?: monitor_call_need(call, "since", &ret->since);
	if (r)
		return r;
	ret->group = monitor_call_text(call, "group") ?: "";
	ret->severity = monitor_call_text(call, "severity");
	ret->text = monitor_call_text(call, "text");
	ret->value = monitor_call_text(call, "value");
	ret->muted_by = monitor_call_text(call, "muted_by");
	ret->operation = monitor_call_text(call, "operation");
	if (!ret->name[0] || !is_plain(ret->name, WORD_MAX) || !is_plain(ret->service, WORD_MAX) ||
		!is_plain(ret->severity, WORD_MAX) || !is_plain(ret->value, WORD_MAX) ||
		!is_text(ret->text, TEXT_MAX) || !is_text(ret->group, GROUP_MAX) ||
		!is_text(ret->muted_by, TEXT_MAX) || !is_plain(ret->operation, WORD_MAX) ||
		clock_parse(&since, ret->since) != 0 || !is_state(ret->state))
		return REFUSE(REASON_MALFORMED, "alert", "is not of the agreed form");
	return 0;
}

static size_t
find_alert(const struct alarms *a, const struct told *t)
{
	size_t i = 0;

	for (; i < json_array_size(a->firing); i++) {
		const json_t *item = json_array_get(a->firing, i);

		if (strcmp(json_text(item, "name"), t->name) == 0 &&
			strcmp(json_text(item, "service"), t->service) == 0 &&
			strcmp(json_text(item, "group"), t->group) == 0)
			break;
	}
	return i;
}

/* The collector repeats itself after a restart. */
static bool
is_known(const struct alarms *a, size_t at, const struct told *t)
{
	const json_t *item = json_array_get(a->firing, at);

	if (!item)
		return strcmp(t->state, "resolved") == 0;
	return strcmp(json_text(item, "state"), t->state) == 0 &&
		strcmp(json_text(item, "muted_by"), t->muted_by ? t->muted_by : "") == 0;
}

static int
keep(struct alarms *a, size_t at, const struct told *t)
{
	json_t *item;

	if (strcmp(t->state, "resolved") == 0)
		return json_array_remove(a->firing, at);
	item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", t->name, "service",
		t->service, "group", t->group, "state", t->state, "since", t->since, "severity", t->severity,
		"text", t->text, "value", t->value, "muted_by", t->muted_by, "operation", t->operation);
	return at < json_array_size(a->firing) ? json_array_set_new(a->firing, at, item)
					       : json_array_append_new(a->firing, item);
}

static int
save(struct alarms *a)
{
	return FAULT(monitor_save_json(a->m, "alerts.json", a->firing));
}

static int
on_alert(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct alarms *a = arg;
	struct told t = { 0 };
	char object[2 * WORD_MAX + 32], line[TEXT_MAX + GROUP_MAX + 2 * WORD_MAX + 64];
	size_t at, n = json_array_size(a->firing);
	int r = read_alert(call, &t);

	if (r)
		return r;
	at = find_alert(a, &t);
	if (is_known(a, at, &t))
		return 0;
	if (at == n && n >= ALARMS_MAX)
		return REFUSE(REASON_BUSY, t.name, "%d alerts are firing already", (int)ALARMS_MAX);
	(void)snprintf(object, sizeof(object), "%s %s %s", t.service, t.name, t.state);
	/* An alert that flaps is a leaf a minute, not one a second; so are its groups. */
	r = monitor_leaf_tallied(m, "alert", object, "collectd", object, NULL, REASON_NONE);
	if (r < 0)
		return FAULT(r);
	r = keep(a, at, &t);
	(void)snprintf(line, sizeof(line), "%s%s%s: %s", object, *t.group ? " " : "", t.group,
		t.text ? t.text : "");
	if (strcmp(t.state, "muted") != 0)
		monitor_notify(m, "alert", t.service, line);
	return r < 0 ? FAULT(-ENOMEM) : save(a);
}

static int
on_alerts(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct alarms *a = arg;

	monitor_answer(call, json_pack("{s:s, s:o, s:o}", "site", monitor_site(m), "items",
		json_deep_copy(a->firing), "mutes", mutes_for_people(m)));
	return 0;
}

/* --- module -------------------------------------------------------------------------------------- */
static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	SCOPED_JSON *config = NULL;

	(void)changes;
	(void)arg;
	if (make_config(m, &config) == 0)
		monitor_push(m, CALL_ROLE_COLLECT, "config", config);
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct alarms *a = arg;
	json_t *pending = json_object_get(status, "pending"), *item;
	size_t i;

	(void)m;
	(void)json_object_set_new(status, "alerts", json_deep_copy(a->firing));
	json_array_foreach(a->firing, i, item)
		(void)json_array_append_new(pending,
			json_pack("{s:s, s:O, s:O}", "kind", "alert", "service",
				json_object_get(item, "service"), "text",
				json_object_get(item, "name")));
}

static void
alarms_free(void *arg)
{
	struct alarms *a = arg;

	json_decref(a->firing);
	free(a);
}

static const struct monitor_module module = {
	.name = "alarms",
	.changed = on_changed,
	.status = on_status,
	.free = alarms_free,
};

int
alarms_init(struct monitor *m)
{
	struct alarms *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	a->m = m;
	m->alarms = a;
	r = monitor_load_json(m, "alerts.json", 1024 * 1024, &a->firing);
	if (r != 0 || !json_is_array(a->firing)) {
		json_decref(a->firing);
		a->firing = json_array();
	}
	r = monitor_add_module(m, &module, a);
	r = r ?: monitor_register_verb(m, "collect.hello", CALL_ROLE_COLLECT, on_hello, a);
	r = r ?: monitor_register_verb(m, "collect.secret", CALL_ROLE_COLLECT, on_secret, NULL);
	r = r ?: monitor_register_verb(m, "alert", CALL_ROLE_COLLECT, on_alert, a);
	r = r ?: monitor_register_verb(m, "telemetry.accept", CALL_ROLE_CONTROL, on_accept, NULL);
	r = r ?: monitor_register_verb(m, "telemetry.refuse", CALL_ROLE_CONTROL, on_refuse, NULL);
	return r ?: monitor_register_verb(m, "alerts", CALL_ROLE_CONTROL, on_alerts, a);
}
