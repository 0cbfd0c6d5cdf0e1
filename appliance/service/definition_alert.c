/* Alerts: of a definition, and the customer's own. */
#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

#define ALERT_SPAN_MAX_US (7 * 86400 * CLOCK_US_PER_S)
#define RATE_SPAN_MAX_US  (86400 * CLOCK_US_PER_S)
#define RATE_OVER_MIN_US  (60 * CLOCK_US_PER_S)

enum { NUMBER_TEXT_MAX = 24 };

static const char *const severities[] = { "critical", "warning", "info" };
static const char *const ops[] = { "below", "above", "equal", "not-equal" };
enum { OP_BELOW, OP_ABOVE };

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* As Prometheus names its metrics; of labels also the dots of OTLP's attributes. */
static bool
is_name_with(const char *text, const char *more)
{
	if (!is_letter(*text) && !(*text && *more == ':' && *text == ':'))
		return false;
	for (; *text; text++)
		if (!is_letter(*text) && !(*text >= '0' && *text <= '9') && *text != *more)
			return false;
	return true;
}

static bool
is_label(const char *text)
{
	return is_name_with(text, ".");
}

/* --- the condition ----------------------------------------------------------------------------------- */
/* A whole number, or a decimal one as text: JSON that is signed has no other. */
static double
read_number(const struct definition_at *a, const char *name, bool need)
{
	struct definition_at m = definition_member(a, name);
	const char *text = json_string_value(m.v), *p = text;
	size_t digits;

	if (a->rd->r || (!m.v && !need))
		return 0;
	if (json_is_integer(m.v))
		return (double)json_integer_value(m.v);
	if (p && strlen(p) <= NUMBER_TEXT_MAX) {
		p += *p == '-';
		digits = strspn(p, "0123456789");
		p += digits;
		if (digits && *p == '.' && strspn(p + 1, "0123456789"))
			p += 1 + strspn(p + 1, "0123456789");
		if (digits && !*p)
			return strtod(text, NULL);
	}
	DEFINITION_BAD(&m, m.v ? "must be a number like 90 or 0.5" : "is missing");
	return 0;
}

static void
read_rate(const struct definition_at *a)
{
	static const char *const known[] = { "per", "over" };
	struct definition_at rate = definition_member(a, "rate"), over = definition_member(&rate, "over");

	if (!rate.v || !definition_known(&rate, known, ARRAY_LEN(known)))
		return;
	if (definition_span(&rate, "per", "1s", RATE_SPAN_MAX_US) < CLOCK_US_PER_S)
		DEFINITION_BAD(&rate, "per must be a second or more");
	if (!over.v)
		DEFINITION_BAD(&over, "is missing");
	else if (definition_span(&rate, "over", NULL, RATE_SPAN_MAX_US) < RATE_OVER_MIN_US)
		DEFINITION_BAD(&over, "must be a minute or more: numbers come every few seconds");
}

static void
read_bound(const struct definition_at *a)
{
	struct definition_at clear = definition_member(a, "clear");
	unsigned op = definition_word(a, "op", ops, ARRAY_LEN(ops), NULL);
	double value = read_number(a, "value", true), end = read_number(a, "clear", false);

	if (!clear.v || a->rd->r)
		return;
	if (op != OP_BELOW && op != OP_ABOVE)
		DEFINITION_BAD(&clear, "goes with below and above alone");
	else if (op == OP_ABOVE ? end > value : end < value)
		DEFINITION_BAD(&clear, "must be %s value: there the alert ends",
			op == OP_ABOVE ? "at most" : "at least");
}

/* One of a bound, absence and change. */
static void
read_condition(const struct definition_at *a)
{
	static const char *const of_bounds[] = { "op", "value", "clear", "rate" };
	struct definition_at absent = definition_member(a, "absent"),
			     change = definition_member(a, "change"), hold = definition_member(a, "for");
	const char *kind = absent.v ? "absent" : "change";

	if (change.v && !json_is_true(change.v))
		DEFINITION_BAD(&change, "can only be true");
	if (absent.v && change.v)
		DEFINITION_BAD(&change, "does not go with absent");
	for (size_t i = 0; (absent.v || change.v) && i < ARRAY_LEN(of_bounds); i++) {
		struct definition_at m = definition_member(a, of_bounds[i]);

		if (m.v)
			DEFINITION_BAD(&m, "does not go with %s", kind);
	}
	if (absent.v && hold.v)
		DEFINITION_BAD(&hold, "does not go with absent, which says how long itself");
	if (absent.v && definition_span(a, "absent", NULL, ALERT_SPAN_MAX_US) < CLOCK_US_PER_S)
		DEFINITION_BAD(&absent, "must be a second or more");
	if (!absent.v && !change.v)
		read_bound(a);
	read_rate(a);
	(void)definition_span(a, "for", "1s", ALERT_SPAN_MAX_US);
}

/* --- series ------------------------------------------------------------------------------------------- */
static void
read_series(const struct definition_at *a)
{
	struct definition_at where = definition_member(a, "where"), by = definition_member(a, "by");
	const char *name;
	json_t *v;

	if (definition_map(&where, DEFINITION_WHERE_MAX) > 0)
		json_object_foreach(where.v, name, v) {
			struct definition_at m = definition_member(&where, name);

			if (!is_label(name) || strlen(name) > DEFINITION_NAME_MAX)
				DEFINITION_BAD(&m, "\"%s\" is no label", name);
			(void)definition_text_here(&m, DEFINITION_LABEL_VALUE_MAX);
		}
	(void)definition_texts(a, "by", DEFINITION_BY_MAX, DEFINITION_NAME_MAX, is_label, "label");
	for (size_t i = 0; !a->rd->r && i < json_array_size(by.v); i++) {
		struct definition_at m = definition_item(&by, i);

		name = json_string_value(m.v);
		if (name && json_object_get(where.v, name))
			DEFINITION_BAD(&m, "\"%s\" stands in where: it has one value alone", name);
		for (size_t j = 0; name && j < i; j++)
			if (!strcmp(name, json_string_value(json_array_get(by.v, j)) ?: ""))
				DEFINITION_BAD(&m, "\"%s\" stands twice", name);
	}
}

/* --- words ---------------------------------------------------------------------------------------------- */
static bool
has_label(const struct definition_at *a, const char *name, size_t len)
{
	const json_t *by = json_object_get(a->v, "by");
	const char *label;
	json_t *v;

	for (size_t i = 0; i < json_array_size(by); i++) {
		label = json_string_value(json_array_get(by, i));
		if (label && strlen(label) == len && !strncmp(label, name, len))
			return true;
	}
	json_object_foreach(json_object_get(a->v, "where"), label, v)
		if (strlen(label) == len && !strncmp(label, name, len))
			return true;
	return false;
}

static void
read_words(const struct definition_at *a)
{
	const char *text = definition_text(a, "text", true, DEFINITION_ALERT_TEXT_MAX);
	struct definition_at m = definition_member(a, "text");

	for (const char *p = text; p && (p = strchr(p, '{')); p++) {
		size_t inside = strcspn(p, "}");

		if (!strncmp(p, "{value}", 7))
			continue;
		if (strncmp(p, "{label.", 7) || p[inside] != '}')
			DEFINITION_BAD(&m, "a brace begins {value} or {label.NAME}");
		else if (!has_label(a, p + 7, inside - 7))
			DEFINITION_BAD(&m, "%.*s} stands neither in by nor in where", (int)inside, p);
	}
}

/* --- one and all ------------------------------------------------------------------------------------------ */
static void
read_alert(const struct definition_at *a, struct definition_alert *alert, const char *const *known, size_t n_known)
{
	struct definition_at metric = definition_member(a, "metric"), name = definition_member(a, "name");

	if (!definition_known(a, known, n_known))
		return;
	alert->json = a->v;
	alert->name = definition_text(a, "name", true, DEFINITION_NAME_MAX);
	if (alert->name && !definition_is_name(alert->name))
		DEFINITION_BAD(&name, "\"%s\" is no name: it must have letters, digits, \"-\" and \"_\" alone, and begin with a letter", alert->name);
	alert->metric = definition_text(a, "metric", true, DEFINITION_METRIC_MAX);
	if (alert->metric && !is_name_with(alert->metric, ":"))
		DEFINITION_BAD(&metric, "\"%s\" is no metric: it must have letters, digits, \"_\" and \":\" alone", alert->metric);
	read_series(a);
	read_condition(a);
	(void)definition_word(a, "severity", severities, ARRAY_LEN(severities), "warning");
	read_words(a);
	(void)definition_texts(a, "inhibited_by", DEFINITION_INHIBITORS_MAX, DEFINITION_NAME_MAX,
		definition_is_name, "alert's name");
	alert->operation = definition_text(a, "operation", false, DEFINITION_NAME_MAX);
}

static size_t
find(const struct definition_alert *alerts, size_t n, const char *service, const char *name)
{
	size_t i = 0;

	for (; i < n; i++)
		if (alerts[i].name && name && !strcmp(alerts[i].name, name) &&
			!strcmp(service, json_string_value(json_object_get(alerts[i].json, "service")) ?: ""))
			break;
	return i;
}

static const char *
service_of(const struct definition_alert *alert)
{
	return json_string_value(json_object_get(alert->json, "service")) ?: "";
}

/* Are all of those that it could be inhibited by done? */
static bool
is_free(const struct definition_alert *alerts, size_t n, size_t at, const bool *done)
{
	const json_t *names = json_object_get(alerts[at].json, "inhibited_by");

	for (size_t i = 0; i < json_array_size(names); i++) {
		size_t by = find(alerts, n, service_of(&alerts[at]), json_string_value(json_array_get(names, i)));

		if (by < n && !done[by])
			return false;
	}
	return true;
}

/* Alerts that inhibit each other would all be silent for ever. */
static void
check_circles(const struct definition_at *list, const struct definition_alert *alerts, size_t n)
{
	bool done[DEFINITION_LIST_MAX] = { false }, moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < n; i++)
			if (!done[i] && is_free(alerts, n, i, done))
				moved = done[i] = true;
	}
	for (size_t i = 0; i < n; i++)
		if (!done[i]) {
			struct definition_at one = definition_item(list, i),
					     by = definition_member(&one, "inhibited_by");

			DEFINITION_BAD(&by, "goes round in a circle: these alerts would silence each other");
			return;
		}
}

/* What stands twice, and what an alert names that is not there.  own: the customer's may name a definition's. */
static void
check_names(const struct definition_at *list, const struct definition_alert *alerts, size_t n, bool own)
{
	const char *names[DEFINITION_LIST_MAX];
	size_t n_names = 0;

	for (size_t i = 0; i < n; i++)
		if (alerts[i].name)
			names[n_names++] = alerts[i].name;
	for (size_t i = 0; !list->rd->r && i < n; i++) {
		struct definition_at one = definition_item(list, i), name = definition_member(&one, "name"),
				     by = definition_member(&one, "inhibited_by");

		if (alerts[i].name && find(alerts, i, service_of(&alerts[i]), alerts[i].name) < i)
			DEFINITION_BAD(&name, "\"%s\" stands twice", alerts[i].name);
		for (size_t j = 0; !own && j < json_array_size(by.v); j++) {
			struct definition_at m = definition_item(&by, j);
			const char *text = json_string_value(m.v), *near;

			if (!text || find(alerts, n, "", text) < n)
				continue;
			near = nearest_word(text, names, n_names);
			DEFINITION_BAD(&m, "no alert is called \"%s\"%s%s%s", text, near ? "; did you mean \"" : "",
				near ? near : "", near ? "\"?" : "");
		}
	}
	check_circles(list, alerts, n);
}

static void
check_operation(const struct definition_at *a, const struct definition *d, const char *operation)
{
	struct definition_at m = definition_member(a, "operation");
	const char *names[DEFINITION_LIST_MAX], *name, *near;
	json_t *all = json_object_get(d->json, "operations"), *v;
	size_t n = 0;

	if (!operation || json_object_get(all, operation))
		return;
	json_object_foreach(all, name, v)
		if (n < DEFINITION_LIST_MAX)
			names[n++] = name;
	near = nearest_word(operation, names, n);
	DEFINITION_BAD(&m, "no operation is called \"%s\"%s%s%s", operation, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
}

#define MEMBERS                                                                                    \
	"name", "metric", "where", "by", "op", "value", "clear", "rate", "absent", "change", "for", \
		"severity", "text", "inhibited_by", "operation"

void
definition_read_alerts(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { MEMBERS };
	struct definition_at list = definition_member(a, "alerts");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->alerts = definition_array(&list, n, sizeof(*d->alerts));
	for (size_t i = 0; d->alerts && i < n; i++) {
		struct definition_at one = definition_item(&list, i);

		d->n_alerts = i + 1;
		read_alert(&one, &d->alerts[i], known, ARRAY_LEN(known));
		check_operation(&one, d, d->alerts[i].operation);
	}
	if (d->alerts)
		check_names(&list, d->alerts, d->n_alerts, false);
}

/* --- the customer's own --------------------------------------------------------------------------------- */
static void
free_yaml(struct yaml_node **n)
{
	*n = yaml_node_free(*n);
}

static void
read_own(const struct definition_at *top)
{
	static const char *const above[] = { "rules" }, *const known[] = { "service", MEMBERS };
	struct definition_at list = definition_member(top, "rules");
	SCOPED(scope_free) struct definition_alert *alerts = NULL;
	size_t n;

	if (!definition_known(top, above, ARRAY_LEN(above)))
		return;
	n = definition_list(&list, DEFINITION_LIST_MAX);
	alerts = definition_array(&list, n, sizeof(*alerts));
	for (size_t i = 0; alerts && i < n; i++) {
		struct definition_at one = definition_item(&list, i), m = definition_member(&one, "service");
		const char *service;

		read_alert(&one, &alerts[i], known, ARRAY_LEN(known));
		service = definition_text(&one, "service", true, DEFINITION_NAME_MAX);
		if (service && !definition_is_word(service))
			DEFINITION_BAD(&m, "\"%s\" is no service's name, nor \"host\"", service);
	}
	if (alerts)
		check_names(&list, alerts, n, true);
}

int
definition_compile_alerts(json_t **ret, const void *p, size_t len, const char *file)
{
	SCOPED(free_yaml) struct yaml_node *yaml = NULL;
	SCOPED_JSON *json = NULL;
	struct definition_reader rd = { .file = file, .dir_fd = -1 };
	struct definition_at top = { .rd = &rd };
	int r = yaml_parse(&yaml, p, len, file);

	r = r ?: yaml_json(&json, yaml);
	if (r)
		return r < 0 ? FAULT(r) : r;
	rd.yaml = top.node = yaml;
	top.v = json;
	read_own(&top);
	if (rd.r)
		return rd.r < 0 ? FAULT(rd.r) : rd.r;
	*ret = json_object_get(json, "rules") ? json_incref(json_object_get(json, "rules")) : json_array();
	return *ret ? 0 : FAULT(-ENOMEM);
}
