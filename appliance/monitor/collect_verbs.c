#include "appliance/monitor/collect_verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/json_wanting.h"
#include "appliance/egress/field.h"
#include "appliance/egress/schema.h"
#include "appliance/monitor/alarms.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/mutes.h"
#include "appliance/monitor/services.h"
#include "appliance/monitor/services_room.h"
#include "appliance/policy/policy.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/service/secret.h"

enum { PLACE_MAX = sizeof(((struct paths *)NULL)->lib) + SERVICES_NAME_MAX + 32 };

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
	SCOPED_JSON *all = json_copy_whole(d->metrics, JSON_DEEP);
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

/* Where a service's files lie: what its knobs are put into. */
struct places {
	char data[PLACE_MAX], conf[PLACE_MAX], log[PLACE_MAX], run[PLACE_MAX];
	char own_log[SERVICES_NAME_MAX + 8]; /* in log: its output */
};

static void
find_places(const struct monitor *m, const char *service, struct places *ret)
{
	const char *lib = m->paths.lib;

	(void)snprintf(ret->data, sizeof(ret->data), "%s/services/%s/data", lib, service);
	(void)snprintf(ret->conf, sizeof(ret->conf), "%s/services/%s/conf", lib, service);
	(void)snprintf(ret->log, sizeof(ret->log), "%s/services/%s/log", lib, service);
	(void)snprintf(ret->run, sizeof(ret->run), "%s/services/%s", m->paths.run, service);
	(void)snprintf(ret->own_log, sizeof(ret->own_log), "%s.log", service);
}

/* The folder of the service's that holds path, and what of path is beneath it; NULL where none does. */
static const char *
find_folder(const struct places *places, const char *path, const char **ret_file)
{
	const char *const folders[] = { places->log, places->data, places->run };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		size_t len = strlen(folders[i]);

		if (strncmp(path, folders[i], len) != 0 || path[len] != '/')
			continue;
		*ret_file = path + len + 1;
		return folders[i];
	}
	return NULL;
}

/* A log as a folder that the service has and a file beneath it, so that no link of the service's leads the collector
 * elsewhere; a file that is in none of them is left out. */
static int
put_log(json_t *all, const json_t *log, const struct places *places, const struct definition_values *values)
{
	const char *template = json_string_value(json_object_get(log, "file"));
	const char *format = json_string_value(json_object_get(log, "format"));
	const char *dir = places->log, *file = places->own_log;
	SCOPED(scope_free) char *path = NULL;
	int r = template ? definition_expand(template, values, &path) : 0;

	if (r < 0)
		return FAULT(r);
	if (r == 0 && path)
		dir = find_folder(places, path, &file);
	if (r > 0 || !dir)
		return 0;
	r = json_array_append_new(all,
		json_pack("{s:s, s:s, s:s, s:s}", "name", json_string_value(json_object_get(log, "name")), "dir",
			dir, "file", file, "format", format ? format : "plain"));
	return r < 0 ? FAULT(-ENOMEM) : 0;
}

static int
put_logs(const struct monitor *m, json_t *item, const struct definition *d, const char *service,
	const json_t *knobs)
{
	struct places places;
	const struct definition_values values = {
		.knobs = knobs,
		.run = places.run,
		.data = places.data,
		.conf = places.conf,
		.log = places.log,
		.of = d,
	};
	SCOPED_JSON *all = json_array();
	const json_t *one;
	size_t i;
	int r;

	find_places(m, service, &places);
	json_array_foreach(d->logs, i, one)
		if ((r = put_log(all, one, &places, &values)) != 0)
			return FAULT(r);
	return json_object_set(item, "logs", all) < 0 ? FAULT(-ENOMEM) : 0;
}

/* One that cannot be read cannot run either, and says why there; without memory the collector asks for all again: whom
 * it is not told of it would not watch. */
static int
put_service(struct monitor *m, const struct services_state *s, json_t *services)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	char dir[sizeof(m->paths.run) + SERVICES_NAME_MAX + 16];
	SCOPED_JSON *knobs = NULL, *item = NULL;
	json_t *alerts;
	int r = s->release[0] ? services_definition(m, s->name, &d) : REASON_NOT_FOUND;

	if (r)
		return r == -ENOMEM ? FAULT(r) : 0;
	(void)snprintf(dir, sizeof(dir), "%s/services/%s", m->paths.run, s->name);
	alerts = json_object_get(d->json, "alerts");
	item = json_pack("{s:s, s:s, s:s}", "name", s->name, "release", s->release, "dir", dir);
	/* Without its knobs a service has no sources to ask; its alerts and its process are watched. */
	if (d->metrics || d->logs)
		r = services_knobs(m, s->name, &knobs);
	if (knobs && d->metrics)
		r = put_metrics(item, d, knobs);
	if (knobs && r != -ENOMEM && d->logs)
		r = put_logs(m, item, d, s->name, knobs);
	if (r == -ENOMEM || (alerts && json_object_set_new(item, "alerts", json_copy_whole(alerts, JSON_DEEP)) < 0) ||
		json_array_append(services, item) < 0)
		return FAULT(-ENOMEM);
	return 0;
}

static int
make_config(struct monitor *m, json_t **ret)
{
	SCOPED_JSON *services = json_array(), *fields = make_fields(m);
	struct services_state s;
	json_t *classes = json_object_get(policy_json(m->policy), "classes");
	int r = 0;

	for (size_t i = 0; r == 0 && services_at(m, i, &s); i++)
		r = put_service(m, &s, services);
	if (r)
		return FAULT(r);
	*ret = json_pack("{s:s, s:b, s:O, s:O, s:o, s:o}", "site", monitor_site(m), "switch",
		m->switches.on[SWITCH_TELEMETRY], "services", services, "fields", fields, "classes",
		classes ? json_copy_whole(classes, JSON_DEEP) : json_object(), "mutes", mutes_for_collector(m));
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
on_hello(struct monitor *m, struct monitor_call *call, void *arg)
{
	json_t *config = NULL;
	int r = make_config(m, &config);

	(void)arg;
	if (r)
		return r;
	/* What it does not know to fire any more it tells as resolved. */
	if (json_object_set_new(config, "standing", json_copy_whole(alarms_standing(m), JSON_DEEP)) < 0) {
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
	uint64_t wanting;
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
	wanting = json_wanting();
	answer = json_pack("{s:s%}", "value", buf_text(&value), value.len);
	if (!answer && json_wanting() != wanting)
		return FAULT(-ENOMEM);
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

static const struct monitor_module module = {
	.name = "collect",
	.changed = on_changed,
};

int
collect_verbs_init(struct monitor *m)
{
	int r = monitor_add_module(m, &module, NULL);

	r = r ?: monitor_register_verb(m, "collect.hello", CALL_ROLE_COLLECT, on_hello, NULL);
	r = r ?: monitor_register_verb(m, "collect.secret", CALL_ROLE_COLLECT, on_secret, NULL);
	r = r ?: monitor_register_verb(m, "telemetry.accept", CALL_ROLE_CONTROL, on_accept, NULL);
	return r ?: monitor_register_verb(m, "telemetry.refuse", CALL_ROLE_CONTROL, on_refuse, NULL);
}
