#include "appliance/monitor/alarms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/mutes.h"

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
	SCOPED_JSON *json = NULL;

	errno = 0;
	json = text ? json_string(text) : json_null();
	/* NULL where it is no UTF-8, or where nobody can say: it is then found out where it is kept. */
	return (json || errno == ENOMEM) && (!text || strlen(text) <= max);
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
		json_copy_whole(a->firing, JSON_DEEP), "mutes", mutes_for_people(m)));
	return 0;
}

/* --- module -------------------------------------------------------------------------------------- */
static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct alarms *a = arg;
	json_t *pending = json_object_get(status, "pending"), *item;
	size_t i;

	(void)m;
	(void)json_object_set_new(status, "alerts", json_copy_whole(a->firing, JSON_DEEP));
	json_array_foreach(a->firing, i, item)
		(void)json_array_append_new(pending,
			json_pack("{s:s, s:O, s:O}", "kind", "alert", "service",
				json_object_get(item, "service"), "text",
				json_object_get(item, "name")));
}

const json_t *
alarms_standing(const struct monitor *m)
{
	return m->alarms->firing;
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
	r = r ?: monitor_register_verb(m, "alert", CALL_ROLE_COLLECT, on_alert, a);
	return r ?: monitor_register_verb(m, "alerts", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_alerts, a);
}
