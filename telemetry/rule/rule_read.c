/* A rule from its JSON, and what of it people read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule_room.h"

#define CALM_MAX_US	(30 * CLOCK_US_PER_S)
#define CHANGE_CALM_US	(300 * CLOCK_US_PER_S)
#define OVER_MIN_US	(60 * CLOCK_US_PER_S)
#define OVER_MAX_US	(86400 * CLOCK_US_PER_S)
#define SPAN_MAX_US	(7 * 86400 * CLOCK_US_PER_S)

enum { NUMBER_TEXT_MAX = 24, CONDITION_MAX = 4096, INHIBITORS_MAX = 8 };

static const char *const op_texts[RULE_OP_MAX] = { "below", "above", "equal", "not-equal" };
static const char *const severities[] = { "critical", "warning", "info" };

static int
word_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], text) == 0)
			return (int)i;
	return -1;
}

/* A whole number, or a decimal fraction as text: canonical JSON has no other numbers. */
static int
read_number(double *ret, const json_t *v, const char *name, const char *what)
{
	const char *text = json_string_value(v), *p = text;
	size_t digits, more = 0;

	if (json_is_integer(v)) {
		*ret = (double)json_integer_value(v);
		return 0;
	}
	if (!text || strlen(text) > NUMBER_TEXT_MAX)
		return REFUSE(REASON_MALFORMED, name, "%s is no number", what);
	p += *p == '-';
	digits = strspn(p, "0123456789");
	p += digits;
	if (*p == '.') {
		more = strspn(p + 1, "0123456789");
		p += more ? more + 1 : 0;
	}
	if (digits == 0 || *p)
		return REFUSE(REASON_MALFORMED, name, "%s is no number: \"%s\"", what, text);
	*ret = strtod(text, NULL);
	return 0;
}

static int
read_span(uint64_t *ret, const char *text, const char *name, const char *what, uint64_t min_us, uint64_t max_us)
{
	if (clock_parse_span(ret, text) != 0 || *ret < min_us || *ret > max_us)
		return REFUSE(REASON_MALFORMED, name, "%s is no span that it can be: \"%s\"", what, text);
	return 0;
}

struct parts {
	const char *name, *metric, *op, *hold, *severity, *text, *absent, *operation;
	const json_t *value, *clear, *where, *by, *rate, *inhibited_by;
	bool change;
};

/* --- what is watched --------------------------------------------------------------------------------- */
static int
read_where(struct rule *rule, const json_t *where)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)where, name, value) {
		if (!*name || strlen(name) > RULE_NAME_MAX || !json_is_string(value) ||
			json_string_length(value) > RULE_VALUE_MAX)
			return REFUSE(REASON_MALFORMED, rule->name, "where: \"%s\" is no label with a text",
				name);
		rule->where[rule->n_where++] =
			(struct rule_label){ name, json_string_value(value) };
	}
	return 0;
}

static int
read_by(struct rule *rule, const json_t *by)
{
	const json_t *item;
	size_t i;

	json_array_foreach(by, i, item) {
		const char *name = json_string_value(item);

		if (!name || !*name || strlen(name) > RULE_NAME_MAX)
			return REFUSE(REASON_MALFORMED, rule->name, "by: an entry is no label");
		for (size_t j = 0; j < rule->n_by; j++)
			if (strcmp(rule->by[j], name) == 0)
				return REFUSE(REASON_MALFORMED, rule->name, "by: \"%s\" stands twice", name);
		rule->by[rule->n_by++] = name;
	}
	return 0;
}

static int
read_inhibitors(struct rule *rule, const json_t *names)
{
	const json_t *item;
	size_t i;

	json_array_foreach(names, i, item)
		if (!json_is_string(item) || json_string_length(item) > RULE_NAME_MAX ||
			strcmp(json_string_value(item), rule->name) == 0)
			return REFUSE(REASON_MALFORMED, rule->name,
				"inhibited_by: an entry is no other alert's name");
	rule->inhibited_by = names;
	return 0;
}

/* --- the condition ------------------------------------------------------------------------------------- */
static int
read_rate(struct rule *rule, const json_t *rate)
{
	struct {
		const char *per, *over;
	} in = { .per = "1s" };
	static const struct json_field fields[] = {
		{ "per", JSON_KIND_TEXT, true, offsetof(__typeof__(in), per), 16 },
		{ "over", JSON_KIND_TEXT, false, offsetof(__typeof__(in), over), 16 },
	};
	int r = json_members(rate, fields, ARRAY_LEN(fields), &in, rule->name);

	r = r ?: read_span(&rule->per_us, in.per, rule->name, "rate.per", CLOCK_US_PER_S, OVER_MAX_US);
	r = r ?: read_span(&rule->over_us, in.over, rule->name, "rate.over", OVER_MIN_US, OVER_MAX_US);
	rule->kind = RULE_RATE;
	return r < 0 ? FAULT(r) : r;
}

static int
read_bound(struct rule *rule, const struct parts *in)
{
	int op = in->op ? word_of(in->op, op_texts, RULE_OP_MAX) : -1, r;

	if (op < 0)
		return REFUSE(REASON_MALFORMED, rule->name, "op is none of below, above, equal, not-equal");
	rule->op = (enum rule_op)op;
	r = read_number(&rule->bound, in->value, rule->name, "value");
	rule->clear = rule->bound;
	if (r == 0 && in->clear)
		r = read_number(&rule->clear, in->clear, rule->name, "clear");
	if (r == 0 && in->clear &&
		(rule->op == RULE_ABOVE ? rule->clear > rule->bound :
			rule->op == RULE_BELOW ? rule->clear < rule->bound : true))
		return REFUSE(REASON_MALFORMED, rule->name, "clear is not on the good side of value");
	return r;
}

static int
read_condition(struct rule *rule, const struct parts *in)
{
	int r = 0;

	if ((in->absent || in->change) && (in->op || in->value || in->clear || in->rate))
		return REFUSE(REASON_MALFORMED, rule->name, "absent and change take no bound");
	if (in->absent && in->change)
		return REFUSE(REASON_MALFORMED, rule->name, "is both absent and change");
	if (in->rate)
		r = read_rate(rule, in->rate);
	if (r == 0 && !in->absent && !in->change)
		r = read_bound(rule, in);
	if (r)
		return r;
	if (in->change)
		rule->kind = RULE_CHANGE;
	if (in->absent) {
		rule->kind = RULE_ABSENT;
		r = read_span(&rule->hold_us, in->absent, rule->name, "absent", CLOCK_US_PER_S, SPAN_MAX_US);
	}
	return r;
}

static int
read_spans(struct rule *rule, const char *text)
{
	uint64_t us = rule->kind == RULE_CHANGE ? CHANGE_CALM_US : 0;

	if (text && rule->kind == RULE_ABSENT)
		return REFUSE(REASON_MALFORMED, rule->name, "absent says how long itself: no for");
	if (text) {
		int r = read_span(&us, text, rule->name, "for", 0, SPAN_MAX_US);

		if (r)
			return r;
	}
	if (rule->kind == RULE_CHANGE) {
		rule->calm_us = us;
		return 0;
	}
	if (rule->kind != RULE_ABSENT)
		rule->hold_us = us;
	rule->calm_us = us / 2 < CALM_MAX_US ? us / 2 : CALM_MAX_US;
	return 0;
}

static int
write_condition(struct rule *rule)
{
	static const char *const heads[RULE_KIND_MAX] = { "", "rate(", "absent(", "change(" };
	SCOPED(buf_done) struct buf b = BUF_MAX(CONDITION_MAX);

	buf_printf(&b, "%s%s", heads[rule->kind], rule->metric);
	for (size_t i = 0; i < rule->n_where; i++)
		buf_printf(&b, "%s%s=\"%s\"", i ? "," : "{", rule->where[i].name, rule->where[i].value);
	buf_printf(&b, "%s%s", rule->n_where ? "}" : "", *heads[rule->kind] ? ")" : "");
	for (size_t i = 0; i < rule->n_by; i++)
		buf_printf(&b, "%s%s%s", i ? ", " : " by (", rule->by[i], i + 1 == rule->n_by ? ")" : "");
	if (rule->kind == RULE_RATE)
		buf_printf(&b, " over %llus per %llus", (unsigned long long)(rule->over_us / CLOCK_US_PER_S),
			(unsigned long long)(rule->per_us / CLOCK_US_PER_S));
	if (rule->kind == RULE_ABSENT)
		buf_printf(&b, " for %llus", (unsigned long long)(rule->hold_us / CLOCK_US_PER_S));
	if (rule->kind == RULE_THRESHOLD || rule->kind == RULE_RATE)
		buf_printf(&b, " %s %.15g", op_texts[rule->op], rule->bound);
	if (rule->clear < rule->bound || rule->clear > rule->bound)
		buf_printf(&b, " until %.15g", rule->clear);
	rule->condition = buf_take_text(&b);
	return rule->condition ? 0 : FAULT(-ENOMEM);
}

/* --- a rule ----------------------------------------------------------------------------------------------- */
static int
read_parts(struct rule *rule, const json_t *alert)
{
	struct parts in = { .severity = "warning", .text = "", .operation = "" };
	static const struct json_field fields[] = {
		{ "name", JSON_KIND_TEXT, false, offsetof(struct parts, name), RULE_NAME_MAX },
		{ "metric", JSON_KIND_TEXT, false, offsetof(struct parts, metric), RULE_METRIC_MAX },
		{ "where", JSON_KIND_OBJECT, true, offsetof(struct parts, where), RULE_WHERE_MAX },
		{ "by", JSON_KIND_ARRAY, true, offsetof(struct parts, by), RULE_BY_MAX },
		{ "op", JSON_KIND_TEXT, true, offsetof(struct parts, op), 16 },
		{ "value", JSON_KIND_ANY, true, offsetof(struct parts, value), 0 },
		{ "clear", JSON_KIND_ANY, true, offsetof(struct parts, clear), 0 },
		{ "rate", JSON_KIND_OBJECT, true, offsetof(struct parts, rate), 2 },
		{ "absent", JSON_KIND_TEXT, true, offsetof(struct parts, absent), 16 },
		{ "change", JSON_KIND_BOOL, true, offsetof(struct parts, change), 0 },
		{ "for", JSON_KIND_TEXT, true, offsetof(struct parts, hold), 16 },
		{ "severity", JSON_KIND_TEXT, true, offsetof(struct parts, severity), 15 },
		{ "text", JSON_KIND_TEXT, true, offsetof(struct parts, text), RULE_TEXT_MAX },
		{ "inhibited_by", JSON_KIND_ARRAY, true, offsetof(struct parts, inhibited_by), INHIBITORS_MAX },
		{ "operation", JSON_KIND_TEXT, true, offsetof(struct parts, operation), RULE_NAME_MAX },
	};
	int r = json_members(alert, fields, ARRAY_LEN(fields), &in, "alert");

	if (r)
		return r < 0 ? FAULT(r) : r;
	rule->name = in.name;
	rule->metric = in.metric;
	rule->severity = in.severity;
	rule->text = in.text;
	rule->operation = in.operation;
	if (word_of(in.severity, severities, ARRAY_LEN(severities)) < 0)
		return REFUSE(REASON_MALFORMED, in.name, "severity is none of critical, warning, info");
	r = read_where(rule, in.where);
	r = r ?: read_by(rule, in.by);
	r = r ?: read_inhibitors(rule, in.inhibited_by);
	r = r ?: read_condition(rule, &in);
	r = r ?: read_spans(rule, in.hold);
	r = r ?: write_condition(rule);
	return r < 0 ? FAULT(r) : r;
}

int
rule_read(struct rule **ret, const char *service, json_t *alert)
{
	SCOPED(rule_unrefp) struct rule *rule = calloc(1, sizeof(*rule));
	int r;

	if (!rule)
		return FAULT(-ENOMEM);
	rule->refs = 1;
	rule->doc = json_incref(alert);
	(void)snprintf(rule->service, sizeof(rule->service), "%s", service);
	r = read_parts(rule, alert);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(rule);
	return 0;
}

struct rule *
rule_ref(const struct rule *r)
{
	struct rule *held = (struct rule *)r;

	held->refs++;
	return held;
}

struct rule *
rule_unref(struct rule *r)
{
	if (!r || --r->refs > 0)
		return NULL;
	json_decref(r->doc);
	free(r->condition);
	free(r);
	return NULL;
}

const char *
rule_told_text(enum rule_told told)
{
	static const char *const texts[] = { "firing", "muted", "resolved" };

	return texts[told];
}

/* --- words of an alert ---------------------------------------------------------------------------------------- */
static const char *
value_of(const struct rule *rule, const struct rule_label *labels, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(labels[i].name) == len && strncmp(labels[i].name, name, len) == 0)
			return labels[i].value;
	for (size_t i = 0; i < rule->n_where; i++)
		if (strlen(rule->where[i].name) == len && strncmp(rule->where[i].name, name, len) == 0)
			return rule->where[i].value;
	return NULL;
}

void
rule_words(struct buf *out, const struct rule *rule, const struct rule_label *labels, size_t n, double value)
{
	const char *p = rule->text, *value_text;

	while (*p) {
		size_t plain = strcspn(p, "{"), inside;

		buf_put(out, p, plain);
		p += plain;
		inside = strcspn(p, "}");
		if (strncmp(p, "{value}", 7) == 0) {
			buf_printf(out, "%.6g", value);
			p += 7;
		} else if (strncmp(p, "{label.", 7) == 0 && p[inside] == '}' &&
			(value_text = value_of(rule, labels, n, p + 7, inside - 7))) {
			buf_puts(out, value_text);
			p += inside + 1;
		} else if (*p) {
			buf_put(out, p++, 1);
		}
	}
}
