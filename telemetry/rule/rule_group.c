/* Groups and series: what a rule remembers, and how much at most. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "telemetry/rule/rule_room.h"

enum { KEY_MAX = 512, LABELS_MAX = 64 };

bool
rule_group_fires(const struct rule_group *g)
{
	return g->state == RULE_FIRING || g->state == RULE_CLEARING;
}

bool
rule_group_mute(struct rule_group *g, const char *why)
{
	free(g->muted_by);
	g->muted_by = why && *why ? strdup(why) : NULL;
	return !why || !*why || g->muted_by;
}

static void
free_series(struct rule_series *x)
{
	free(x->window);
	free(x);
}

struct rule_group *
rule_group_free(struct rule_group *g)
{
	if (!g)
		return NULL;
	while (g->series) {
		struct rule_series *x = g->series;

		g->series = x->next;
		free_series(x);
	}
	for (size_t i = 0; i < RULE_BY_MAX; i++)
		free((char *)g->labels[i].value);
	free(g->muted_by);
	free(g);
	return NULL;
}

void
rule_group_drop(struct rule_set *s, struct rule_watched *w, struct rule_group *g)
{
	w->n_groups--;
	w->n_series -= g->n_series;
	s->n_series -= g->n_series;
	(void)rule_group_free(g);
}

/* One harmless line of what somebody's labels say. */
static bool
put_label(struct buf *out, const char *name, const char *value)
{
	char shown[4 * RULE_VALUE_MAX + 1];

	if (strlen(value) > RULE_VALUE_MAX)
		return false;
	buf_printf(out, "%s%s=\"%s\"", out->len ? "," : "", name, log_escape(shown, sizeof(shown), value));
	return true;
}

static struct rule_group *
make_group(const struct rule *rule, const char *const *values, uint64_t now_us)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(RULE_GROUP_MAX);
	struct rule_group *g;

	for (size_t i = 0; i < rule->n_by; i++)
		if (!put_label(&text, rule->by[i], values[i]))
			return NULL;
	if (buf_error(&text)) {
		errno = -buf_error(&text);
		return NULL;
	}
	g = calloc(1, sizeof(*g) + text.len + 1);
	if (!g)
		return NULL;
	memcpy(g->text, buf_text(&text), text.len + 1);
	g->turn_us = g->seen_us = now_us;
	g->told = RULE_TOLD_RESOLVED;
	for (size_t i = 0; i < rule->n_by; i++) {
		char shown[4 * RULE_VALUE_MAX + 1];

		g->labels[i] = (struct rule_label){ rule->by[i],
			strdup(log_escape(shown, sizeof(shown), values[i])) };
		if (!g->labels[i].value)
			return rule_group_free(g);
	}
	return g;
}

struct rule_group *
rule_group_take(struct rule_watched *w, const char *const *values, size_t n, uint64_t now_us)
{
	struct rule_group **at = &w->groups, *made;

	errno = E2BIG; /* what allocates sets its own */
	made = n == w->rule->n_by ? make_group(w->rule, values, now_us) : NULL;
	if (!made)
		return NULL;
	/* In order, so that what is told at once comes in the same order after a restart. */
	while (*at && strcmp((*at)->text, made->text) < 0)
		at = &(*at)->next;
	if (*at && strcmp((*at)->text, made->text) == 0) {
		(void)rule_group_free(made);
		return *at;
	}
	if (w->n_groups == RULE_GROUPS_MAX)
		return rule_group_free(made);
	made->next = *at;
	*at = made;
	w->n_groups++;
	return made;
}

/* --- series -------------------------------------------------------------------------------------------- */
/* The labels by name, whatever their order is. */
static bool
write_key(struct buf *out, const struct rule_label *labels, size_t n)
{
	const struct rule_label *sorted[LABELS_MAX];

	if (n > LABELS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t at = i;

		for (; at > 0 && strcmp(sorted[at - 1]->name, labels[i].name) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &labels[i];
	}
	for (size_t i = 0; i < n; i++)
		if (!put_label(out, sorted[i]->name, sorted[i]->value))
			return false;
	return buf_error(out) == 0;
}

struct rule_series *
rule_series_new(struct rule_set *s, struct rule_watched *w, struct rule_group *g, const char *key)
{
	struct rule_series *x;

	errno = E2BIG;
	if (w->n_series == RULE_SERIES_MAX || s->n_series == RULE_ALL_SERIES_MAX)
		return NULL;
	x = calloc(1, sizeof(*x) + strlen(key) + 1);
	if (!x)
		return NULL;
	memcpy(x->key, key, strlen(key) + 1);
	x->window = w->rule->kind == RULE_RATE ? calloc(1, sizeof(*x->window)) : NULL;
	if (w->rule->kind == RULE_RATE && !x->window) {
		free_series(x);
		return NULL;
	}
	x->next = g->series;
	g->series = x;
	g->n_series++;
	w->n_series++;
	s->n_series++;
	return x;
}

/* An alert of its own says that something is not watched. */
static void
overflow(struct rule_watched *w, uint64_t now_us)
{
	const char *name = w->rule->name;

	w->refused_us = now_us;
	if (w->full)
		return;
	if (!w->overflow) {
		SCOPED_JSON *doc = json_pack("{s:s, s:s, s:s, s:i, s:[s], s:s}", "name", RULE_OVERFLOW_NAME, "metric",
			w->rule->metric, "op", "above", "value", (int)RULE_GROUPS_MAX, "by", "alert", "text",
			"alert {label.alert} meets more series than are watched: some are not");

		if (!doc || rule_read(&w->overflow, w->rule->service, doc) != 0)
			return;
	}
	w->full = make_group(w->overflow, &name, now_us);
	if (!w->full)
		return;
	w->full->state = RULE_FIRING;
	w->full->fired_us = now_us;
	w->full->value = (double)w->n_series;
}

static struct rule_series *
find_series(const struct rule_watched *w, const char *key, struct rule_group **ret_group)
{
	for (struct rule_group *g = w->groups; g; g = g->next)
		for (struct rule_series *x = g->series; x; x = x->next)
			if (strcmp(x->key, key) == 0) {
				*ret_group = g;
				return x;
			}
	return NULL;
}

struct rule_series *
rule_series_take(struct rule_set *s, struct rule_watched *w, const struct rule_label *labels, size_t n,
	uint64_t now_us, struct rule_group **ret_group, bool *ret_fresh)
{
	SCOPED(buf_done) struct buf key = BUF_MAX(KEY_MAX);
	const char *values[RULE_BY_MAX];
	struct rule_series *x = NULL;
	bool fits = write_key(&key, labels, n);

	*ret_fresh = false;
	if (fits)
		x = find_series(w, buf_text(&key), ret_group);
	if (x)
		return x;
	for (size_t i = 0; i < w->rule->n_by; i++) {
		values[i] = "";
		for (size_t j = 0; j < n; j++)
			if (strcmp(labels[j].name, w->rule->by[i]) == 0)
				values[i] = labels[j].value;
	}
	*ret_group = fits ? rule_group_take(w, values, w->rule->n_by, now_us) : NULL;
	if (*ret_group)
		x = rule_series_new(s, w, *ret_group, buf_text(&key));
	if (!x)
		overflow(w, now_us);
	*ret_fresh = true;
	return x;
}

void
rule_series_age(struct rule_set *s, struct rule_watched *w, struct rule_group *g, uint64_t now_us)
{
	struct rule_series **at = &g->series, *x;

	if (now_us - g->seen_us > RULE_GONE_US)
		return; /* nothing comes at all: it stays as it is */
	while ((x = *at)) {
		if (x->seen_us > now_us)
			x->seen_us = now_us;
		if (now_us - x->seen_us <= RULE_GONE_US) {
			at = &x->next;
			continue;
		}
		g->n_bad -= x->bad;
		g->n_series--;
		w->n_series--;
		s->n_series--;
		s->changed = true;
		*at = x->next;
		free_series(x);
	}
}
