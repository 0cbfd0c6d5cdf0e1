#include "telemetry/rule/rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

enum event { EV_BAD, EV_HELD, EV_GOOD, EV_CALM, EV_MAX };
enum act { ACT_NONE, ACT_FIRE, ACT_RESOLVE };

#define CALM_MAX_US (30 * CLOCK_US_PER_S)

static const char *const state_texts[RULE_STATE_MAX] = { "inactive", "pending", "firing", "clearing" };

static const struct edge {
	bool set;
	enum rule_state next;
	enum act act;
} edges[RULE_STATE_MAX][EV_MAX] = {
	[RULE_INACTIVE] = {
		[EV_BAD] = { true, RULE_PENDING, ACT_NONE },
		[EV_HELD] = { true, RULE_FIRING, ACT_FIRE },
	},
	[RULE_PENDING] = {
		[EV_HELD] = { true, RULE_FIRING, ACT_FIRE },
		[EV_GOOD] = { true, RULE_INACTIVE, ACT_NONE },
		[EV_CALM] = { true, RULE_INACTIVE, ACT_NONE },
	},
	[RULE_FIRING] = {
		[EV_GOOD] = { true, RULE_CLEARING, ACT_NONE },
		[EV_CALM] = { true, RULE_INACTIVE, ACT_RESOLVE },
	},
	[RULE_CLEARING] = {
		[EV_BAD] = { true, RULE_FIRING, ACT_NONE },
		[EV_HELD] = { true, RULE_FIRING, ACT_NONE },
		[EV_CALM] = { true, RULE_INACTIVE, ACT_RESOLVE },
	},
};

struct watched {
	struct rule rule;
	enum rule_state state;
	bool bad;          /* of the last number */
	uint64_t turn_us;  /* since when it is so */
	uint64_t fired_us; /* FIRING, CLEARING: when the alert began */
	double value;      /* the last number */
};

struct rule_set {
	struct watched *rules; /* owned */
	size_t n;
	bool changed;
	rule_fn *tell;
	void *arg;
};

int
rule_new(struct rule_set **ret, rule_fn *tell, void *arg)
{
	struct rule_set *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->tell = tell;
	s->arg = arg;
	*ret = s;
	return 0;
}

struct rule_set *
rule_free(struct rule_set *s)
{
	if (s)
		free(s->rules);
	free(s);
	return NULL;
}

static void
copy(char *out, size_t size, const char *text)
{
	(void)snprintf(out, size, "%s", text ? text : "");
}

int
rule_read(struct rule *ret, const char *service, const json_t *alert)
{
	struct {
		const char *name, *metric, *op, *hold, *severity, *text;
		int64_t value;
	} in = { .hold = "0s", .severity = "warning", .text = "" };
	static const struct json_field fields[] = {
		{ "name", JSON_KIND_TEXT, false, offsetof(__typeof__(in), name), RULE_NAME_MAX },
		{ "metric", JSON_KIND_TEXT, false, offsetof(__typeof__(in), metric), RULE_METRIC_MAX },
		{ "op", JSON_KIND_TEXT, false, offsetof(__typeof__(in), op), 8 },
		{ "value", JSON_KIND_I64, false, offsetof(__typeof__(in), value), 0 },
		{ "for", JSON_KIND_TEXT, true, offsetof(__typeof__(in), hold), 16 },
		{ "severity", JSON_KIND_TEXT, true, offsetof(__typeof__(in), severity), 15 },
		{ "text", JSON_KIND_TEXT, true, offsetof(__typeof__(in), text), RULE_TEXT_MAX },
	};
	int r;

	r = json_members(alert, fields, ARRAY_LEN(fields), &in, "alert");
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = (struct rule){ .bound = in.value };
	if (strcmp(in.op, "above") == 0)
		ret->above = true;
	else if (strcmp(in.op, "below") != 0)
		return REFUSE(REASON_MALFORMED, in.name, "op is neither above nor below");
	if (clock_parse_span(&ret->for_us, in.hold) != 0)
		return REFUSE(REASON_MALFORMED, in.name, "for is no span: \"%s\"", in.hold);
	copy(ret->service, sizeof(ret->service), service);
	copy(ret->name, sizeof(ret->name), in.name);
	copy(ret->metric, sizeof(ret->metric), in.metric);
	copy(ret->severity, sizeof(ret->severity), in.severity);
	copy(ret->text, sizeof(ret->text), in.text);
	return 0;
}

static bool
fires(const struct watched *w)
{
	return w->state == RULE_FIRING || w->state == RULE_CLEARING;
}

static void
tell(struct rule_set *s, const struct watched *w, bool firing)
{
	s->tell(&(struct rule_alert){ .rule = &w->rule, .firing = firing, .since_us = w->fired_us,
		.value = w->value }, s->arg);
}

static bool
same_rule(const struct rule *a, const struct rule *b)
{
	return strcmp(a->service, b->service) == 0 && strcmp(a->name, b->name) == 0 &&
		strcmp(a->metric, b->metric) == 0 && a->above == b->above && a->bound == b->bound;
}

static struct watched *
find(struct watched *list, size_t n, const struct rule *rule)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (same_rule(&list[i].rule, rule))
			return &list[i];
	return NULL;
}

int
rule_load(struct rule_set *s, const struct rule *rules, size_t n, uint64_t now_us)
{
	struct watched *fresh, *old = s->rules;
	size_t i, n_old = s->n;

	if (n > RULE_MAX)
		return REFUSE(REASON_TOO_LARGE, "rules", "%zu rules are more than %d", n, RULE_MAX);
	fresh = calloc(n + 1, sizeof(*fresh));
	if (!fresh)
		return FAULT(-ENOMEM);
	for (i = 0; i < n; i++) {
		const struct watched *was = find(old, n_old, &rules[i]);

		if (was)
			fresh[i] = *was;
		else
			fresh[i].turn_us = now_us;
		fresh[i].rule = rules[i];
	}
	s->rules = fresh;
	s->n = n;
	for (i = 0; i < n_old; i++) {
		if (find(fresh, n, &old[i].rule))
			continue;
		s->changed = true;
		if (fires(&old[i]))
			tell(s, &old[i], false);
	}
	free(old);
	return 0;
}

static enum event
event_of(const struct watched *w, uint64_t now_us)
{
	uint64_t lasted = now_us - w->turn_us, calm = w->rule.for_us / 2;

	if (w->bad)
		return lasted >= w->rule.for_us ? EV_HELD : EV_BAD;
	return lasted >= (calm < CALM_MAX_US ? calm : CALM_MAX_US) ? EV_CALM : EV_GOOD;
}

static void
step(struct rule_set *s, struct watched *w, uint64_t now_us)
{
	const struct edge *e = &edges[w->state][event_of(w, now_us)];

	if (!e->set)
		return;
	w->state = e->next;
	s->changed = true;
	if (e->act == ACT_FIRE)
		w->fired_us = now_us;
	if (e->act != ACT_NONE)
		tell(s, w, e->act == ACT_FIRE);
}

void
rule_feed(struct rule_set *s, const char *service, const char *metric, double value, uint64_t now_us)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct watched *w = &s->rules[i];
		bool bad;

		if (strcmp(w->rule.metric, metric) != 0 || strcmp(w->rule.service, service) != 0)
			continue;
		/* A comparison with NaN is false: no number, no alarm. */
		bad = w->rule.above ? value > (double)w->rule.bound : value < (double)w->rule.bound;
		/* A clock that was set back starts the span anew. */
		if (bad != w->bad || now_us < w->turn_us)
			w->turn_us = now_us;
		w->bad = bad;
		w->value = value;
		step(s, w, now_us);
	}
}

static void
each_of(const struct rule_set *s, bool all, rule_fn *each, void *arg)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		const struct watched *w = &s->rules[i];

		if (all || fires(w))
			each(&(struct rule_alert){ .rule = &w->rule, .firing = fires(w),
				.since_us = w->fired_us, .value = w->value }, arg);
	}
}

void
rule_each_firing(const struct rule_set *s, rule_fn *each, void *arg)
{
	each_of(s, false, each, arg);
}

void
rule_each(const struct rule_set *s, rule_fn *each, void *arg)
{
	each_of(s, true, each, arg);
}

bool
rule_changed(struct rule_set *s)
{
	bool changed = s->changed;

	s->changed = false;
	return changed;
}

/* --- over restarts --------------------------------------------------------------------------------------- */
json_t *
rule_save(const struct rule_set *s)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; list && i < s->n; i++) {
		const struct watched *w = &s->rules[i];
		char value[32];
		json_t *item;

		if (w->state == RULE_INACTIVE)
			continue;
		(void)snprintf(value, sizeof(value), "%.17g", w->value); /* whole numbers only, else text */
		item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:b}", "value", value, "service", w->rule.service,
			"name", w->rule.name, "metric", w->rule.metric, "op",
			w->rule.above ? "above" : "below", "bound", (json_int_t)w->rule.bound,
			"state", state_texts[w->state], "bad", w->bad);
		if (!item || json_put_time(item, "turn", w->turn_us) < 0 ||
			json_put_time(item, "fired", w->fired_us) < 0 ||
			json_array_append(list, item) < 0) {
			json_decref(list);
			list = NULL;
		}
		json_decref(item);
	}
	return list;
}

static int
restore_one(struct rule_set *s, const json_t *item)
{
	struct {
		const char *service, *name, *metric, *op, *state, *value;
		int64_t bound;
		bool bad;
		uint64_t turn_us, fired_us;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "service", JSON_KIND_TEXT, false, offsetof(__typeof__(in), service), RULE_NAME_MAX },
		{ "name", JSON_KIND_TEXT, false, offsetof(__typeof__(in), name), RULE_NAME_MAX },
		{ "metric", JSON_KIND_TEXT, false, offsetof(__typeof__(in), metric), RULE_METRIC_MAX },
		{ "op", JSON_KIND_TEXT, false, offsetof(__typeof__(in), op), 8 },
		{ "bound", JSON_KIND_I64, false, offsetof(__typeof__(in), bound), 0 },
		{ "state", JSON_KIND_TEXT, false, offsetof(__typeof__(in), state), 16 },
		{ "value", JSON_KIND_TEXT, false, offsetof(__typeof__(in), value), 32 },
		{ "bad", JSON_KIND_BOOL, false, offsetof(__typeof__(in), bad), 0 },
		{ "turn", JSON_KIND_TIME, false, offsetof(__typeof__(in), turn_us), 0 },
		{ "fired", JSON_KIND_TIME, false, offsetof(__typeof__(in), fired_us), 0 },
	};
	struct rule wanted = { 0 };
	struct watched *w;
	size_t i;
	int r;

	r = json_members(item, fields, ARRAY_LEN(fields), &in, "rules.json");
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	for (i = 0; i < RULE_STATE_MAX && strcmp(state_texts[i], in.state) != 0; i++)
		;
	if (i == RULE_STATE_MAX)
		return REFUSE(REASON_MALFORMED, "rules.json", "no state is called \"%s\"", in.state);
	copy(wanted.service, sizeof(wanted.service), in.service);
	copy(wanted.name, sizeof(wanted.name), in.name);
	copy(wanted.metric, sizeof(wanted.metric), in.metric);
	wanted.above = strcmp(in.op, "above") == 0;
	wanted.bound = in.bound;
	w = find(s->rules, s->n, &wanted);
	if (!w)
		return 0;
	w->state = (enum rule_state)i;
	w->bad = in.bad;
	w->value = strtod(in.value, NULL); /* only shown; what is no number shows as 0 */
	w->turn_us = in.turn_us;
	w->fired_us = in.fired_us;
	return 0;
}

int
rule_restore(struct rule_set *s, const json_t *saved)
{
	const json_t *item;
	size_t i;
	int r;

	if (!json_is_array(saved))
		return REFUSE(REASON_MALFORMED, "rules.json", "is no list");
	json_array_foreach (saved, i, item) {
		r = restore_one(s, item);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
	}
	return 0;
}
