/* A set's states over restarts: [{service, name, condition, group: [VALUE...], state, told, bad, turn, fired, value,
 * muted_by, series: [{key, bad, last, seen, spots: [[milliseconds, total]...], total}]}].  Numbers that are no whole
 * ones are texts, for canonical JSON has only those. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule_room.h"

enum { CONDITION_MAX = 4096, KEY_MAX = 4096, REAL_MAX = 32 };

static const char *const state_texts[RULE_STATE_MAX] = { "inactive", "pending", "firing", "clearing" };

static int
put_real(json_t *obj, const char *name, double v)
{
	char text[REAL_MAX];

	(void)snprintf(text, sizeof(text), "%.17g", v);
	return json_put_text(obj, name, text);
}

/* --- saving -------------------------------------------------------------------------------------------- */
static json_t *
save_spots(const struct rule_window *w)
{
	json_t *spots = json_array();

	for (size_t i = 0; spots && i < w->n; i++) {
		char total[REAL_MAX];

		(void)snprintf(total, sizeof(total), "%.17g", w->spots[i].total);
		if (json_array_append_new(spots, json_pack("[I, s]",
			(json_int_t)(w->spots[i].at_us / CLOCK_US_PER_MS), total)) < 0) {
			json_decref(spots);
			return NULL;
		}
	}
	return spots;
}

static int
save_series(json_t *list, const struct rule_series *x)
{
	SCOPED_JSON *item = json_pack("{s:s, s:b}", "key", x->key, "bad", (int)x->bad);
	int r;

	if (!item)
		return FAULT(-ENOMEM);
	r = put_real(item, "last", x->last);
	r = r ?: json_put_time(item, "seen", x->seen_us);
	if (r == 0 && x->window) {
		r = put_real(item, "total", x->window->total);
		if (r == 0 && json_object_set_new(item, "spots", save_spots(x->window)) < 0)
			r = -ENOMEM;
	}
	return FAULT(r ?: json_array_append(list, item) < 0 ? -ENOMEM : 0);
}

/* Of a threshold only what is bad matters: a number tells the rest. */
static bool
is_kept(const struct rule *rule, const struct rule_series *x)
{
	return x->bad || rule->kind == RULE_CHANGE || rule->kind == RULE_RATE;
}

/* What was there and never comes again is absent only to who remembers it. */
static bool
is_missable(const struct rule *rule)
{
	return rule->kind == RULE_ABSENT && rule->n_by > 0;
}

static int
save_group(json_t *list, const struct rule *rule, const struct rule_group *g)
{
	SCOPED_JSON *values = json_array(), *series = json_array(), *item = NULL;
	int r = 0;

	if (!values || !series)
		return FAULT(-ENOMEM); /* an empty list would read as nothing worth keeping */
	for (size_t i = 0; i < rule->n_by; i++)
		if (json_array_append_new(values, json_string(g->labels[i].value)) < 0)
			return FAULT(-ENOMEM);
	for (const struct rule_series *x = g->series; x && r == 0; x = x->next)
		if (is_kept(rule, x))
			r = save_series(series, x);
	if (r || (g->state == RULE_INACTIVE && json_array_size(series) == 0 && !is_missable(rule)))
		return FAULT(r);
	item = json_pack("{s:s, s:s, s:s, s:O, s:s, s:s, s:b, s:s, s:O}", "service", rule->service, "name",
		rule->name, "condition", rule->condition, "group", values, "state", state_texts[g->state], "told",
		rule_told_text(g->told), "bad", (int)g->bad, "muted_by", g->muted_by ? g->muted_by : "", "series",
		series);
	if (!item)
		return FAULT(-ENOMEM);
	r = put_real(item, "value", g->value);
	r = r ?: json_put_time(item, "turn", g->turn_us);
	r = r ?: json_put_time(item, "fired", g->fired_us);
	return FAULT(r ?: json_array_append(list, item) < 0 ? -ENOMEM : 0);
}

json_t *
rule_save(const struct rule_set *s)
{
	json_t *list = json_array();

	if (!list)
		(void)FAULT(-ENOMEM);
	for (size_t i = 0; list && i < s->n; i++)
		for (const struct rule_group *g = s->rules[i].groups; g; g = g->next)
			if (save_group(list, s->rules[i].rule, g) != 0) {
				json_decref(list);
				return NULL;
			}
	return list;
}

/* --- restoring ----------------------------------------------------------------------------------------- */
static int
read_real(double *ret, const char *text)
{
	char *end;

	*ret = strtod(text, &end);
	return end == text || *end || isnan(*ret) ? REFUSE(REASON_MALFORMED, "rules.json", "\"%s\" is no number", text) : 0;
}

static int
restore_window(struct rule_window *w, const json_t *spots, const char *total)
{
	const json_t *spot;
	size_t i;
	int r = total ? read_real(&w->total, total) : 0;

	json_array_foreach(spots, i, spot) {
		const json_t *at = json_array_get(spot, 0);
		const char *text = json_string_value(json_array_get(spot, 1));

		if (r == 0 && (!json_is_integer(at) || json_integer_value(at) < 0 || !text))
			return REFUSE(REASON_MALFORMED, "rules.json", "a spot of a window is none");
		r = r ?: read_real(&w->spots[i].total, text);
		if (r)
			return r;
		w->spots[i].at_us = (uint64_t)json_integer_value(at) * CLOCK_US_PER_MS;
		w->n = i + 1;
	}
	return r;
}

static int
restore_series(struct rule_set *s, struct rule_watched *w, struct rule_group *g, const json_t *item)
{
	struct {
		const char *key, *last, *total;
		const json_t *spots;
		bool bad;
		uint64_t seen_us;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "key", JSON_KIND_TEXT0, false, offsetof(__typeof__(in), key), KEY_MAX },
		{ "last", JSON_KIND_TEXT, false, offsetof(__typeof__(in), last), REAL_MAX },
		{ "total", JSON_KIND_TEXT, true, offsetof(__typeof__(in), total), REAL_MAX },
		{ "spots", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), spots), RULE_SPOTS },
		{ "bad", JSON_KIND_BOOL, false, offsetof(__typeof__(in), bad), 0 },
		{ "seen", JSON_KIND_TIME, false, offsetof(__typeof__(in), seen_us), 0 },
	};
	struct rule_series *x;
	int r = json_members(item, fields, ARRAY_LEN(fields), &in, "rules.json");

	if (r)
		return r < 0 ? FAULT(r) : r;
	x = rule_series_new(s, w, g, in.key);
	if (!x && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!x)
		return REFUSE(REASON_TOO_LARGE, "rules.json", "more series than are watched");
	x->seen_us = in.seen_us;
	x->bad = in.bad;
	g->n_bad += in.bad;
	r = read_real(&x->last, in.last);
	if (r == 0 && x->window)
		r = restore_window(x->window, in.spots, in.total);
	return r;
}

struct saved {
	const char *service, *name, *condition, *state, *told, *value, *muted_by;
	const json_t *group, *series;
	bool bad;
	uint64_t turn_us, fired_us;
};

static int
word_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], text) == 0)
			return (int)i;
	return -1;
}

static int
restore_group(struct rule_set *s, struct rule_watched *w, const struct saved *in, uint64_t now_us)
{
	const char *values[RULE_BY_MAX] = { NULL };
	int state = word_of(in->state, state_texts, RULE_STATE_MAX), r;
	enum rule_told told = RULE_TOLD_FIRING;
	struct rule_group *g;
	const json_t *item;
	size_t i;

	while (told < RULE_TOLD_RESOLVED && strcmp(rule_told_text(told), in->told) != 0)
		told++;
	if (state < 0 || strcmp(rule_told_text(told), in->told) != 0)
		return REFUSE(REASON_MALFORMED, "rules.json", "no state is called \"%s\", \"%s\"", in->state,
			in->told);
	for (i = 0; i < json_array_size(in->group); i++) {
		values[i] = json_string_value(json_array_get(in->group, i));
		if (!values[i])
			return REFUSE(REASON_MALFORMED, "rules.json", "a group of %s holds no text", in->name);
	}
	g = rule_group_take(w, values, i, now_us);
	if (!g && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!g || g->series)
		return REFUSE(REASON_MALFORMED, "rules.json", "a group of %s is none", in->name);
	r = read_real(&g->value, in->value);
	if (r)
		return r;
	g->state = (enum rule_state)state;
	g->told = told;
	g->bad = in->bad;
	g->turn_us = in->turn_us;
	g->fired_us = in->fired_us;
	if (w->rule->kind == RULE_ABSENT && in->bad)
		g->seen_us = in->turn_us; /* it has been missed since then */
	if (!rule_group_mute(g, in->muted_by))
		return FAULT(-ENOMEM);
	json_array_foreach(in->series, i, item) {
		r = restore_series(s, w, g, item);
		if (r)
			return r < 0 ? FAULT(r) : r;
	}
	return 0;
}

static int
restore_one(struct rule_set *s, const json_t *item, uint64_t now_us)
{
	struct saved in = { 0 };
	static const struct json_field fields[] = {
		{ "service", JSON_KIND_TEXT, false, offsetof(struct saved, service), RULE_NAME_MAX },
		{ "name", JSON_KIND_TEXT, false, offsetof(struct saved, name), RULE_NAME_MAX },
		{ "condition", JSON_KIND_TEXT, false, offsetof(struct saved, condition), CONDITION_MAX },
		{ "group", JSON_KIND_ARRAY, false, offsetof(struct saved, group), RULE_BY_MAX },
		{ "state", JSON_KIND_TEXT, false, offsetof(struct saved, state), 16 },
		{ "told", JSON_KIND_TEXT, false, offsetof(struct saved, told), 16 },
		{ "value", JSON_KIND_TEXT, false, offsetof(struct saved, value), REAL_MAX },
		{ "muted_by", JSON_KIND_TEXT0, false, offsetof(struct saved, muted_by), RULE_WHY_MAX },
		{ "bad", JSON_KIND_BOOL, false, offsetof(struct saved, bad), 0 },
		{ "turn", JSON_KIND_TIME, false, offsetof(struct saved, turn_us), 0 },
		{ "fired", JSON_KIND_TIME, false, offsetof(struct saved, fired_us), 0 },
		{ "series", JSON_KIND_ARRAY, false, offsetof(struct saved, series), RULE_SERIES_MAX },
	};
	int r = json_members(item, fields, ARRAY_LEN(fields), &in, "rules.json");

	if (r)
		return r < 0 ? FAULT(r) : r;
	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = s->rules[i].rule;

		if (strcmp(rule->name, in.name) == 0 && strcmp(rule->service, in.service) == 0 &&
			strcmp(rule->condition, in.condition) == 0)
			return restore_group(s, &s->rules[i], &in, now_us);
	}
	return 0;
}

int
rule_restore(struct rule_set *s, const json_t *saved, uint64_t now_us)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(saved))
		return REFUSE(REASON_MALFORMED, "rules.json", "is no list");
	json_array_foreach(saved, i, item) {
		int r = restore_one(s, item, now_us);

		if (r != 0)
			return r < 0 ? FAULT(r) : r;
	}
	return 0;
}
