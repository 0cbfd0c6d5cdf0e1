/* What is told of alerts: that they fire, are muted and by what, and end. */
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "telemetry/rule/rule_room.h"

void
rule_tell_one(const struct rule *rule, const struct rule_group *g, enum rule_told told, rule_fn *fn, void *arg)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(RULE_TEXT_MAX);

	rule_words(&text, rule, g->labels, rule->n_by, g->value);
	/* Longer with its values than texts may be: then as it was written. */
	fn(&(struct rule_alert){ .rule = rule, .told = told, .since_us = g->fired_us, .value = g->value,
		.text = buf_error(&text) ? rule->text : buf_text(&text), .labels = g->labels,
		.n_labels = rule->n_by, .group = g->text,
		.muted_by = told == RULE_TOLD_MUTED ? g->muted_by : "" }, arg);
}

void
rule_tell_end(struct rule_set *s, const struct rule *rule, struct rule_group *g)
{
	rule_tell_one(rule, g, RULE_TOLD_RESOLVED, s->tell, s->arg);
	g->told = RULE_TOLD_RESOLVED;
	rule_group_mute(g, NULL);
	s->changed = true;
}

static const struct rule_group *
fires_by_name(const struct rule_set *s, const char *service, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct rule_watched *w = &s->rules[i];

		if (strcmp(w->rule->name, name) != 0 || strcmp(w->rule->service, service) != 0)
			continue;
		for (const struct rule_group *g = w->groups; g; g = g->next)
			if (rule_group_fires(g))
				return g;
	}
	return NULL;
}

/* Is `to` inhibited by what is inhibited ... by `from`?  Both are of the service. */
static bool
leads_to(const struct rule_set *s, const char *service, const char *from, const char *to)
{
	bool seen[RULE_MAX] = { false };
	const char *queue[RULE_MAX + 1] = { from };

	for (size_t at = 0, n = 1; at < n; at++) {
		for (size_t i = 0; i < s->n; i++) {
			const struct rule *rule = s->rules[i].rule;

			if (seen[i] || strcmp(rule->name, queue[at]) != 0 || strcmp(rule->service, service) != 0)
				continue;
			seen[i] = true;
			for (size_t k = 0; k < json_array_size(rule->inhibited_by); k++) {
				const char *name = json_string_value(json_array_get(rule->inhibited_by, k));

				if (strcmp(name, to) == 0)
					return true;
				if (n <= RULE_MAX)
					queue[n++] = name;
			}
		}
	}
	return false;
}

bool
rule_in_circle(const struct rule_set *s, const struct rule *rule, const char *by)
{
	return leads_to(s, rule->service, by, rule->name);
}

/* Why it is not to be heard now: into why, or "". */
static void
find_why(const struct rule_set *s, const struct rule *rule, char why[RULE_WHY_MAX + 1])
{
	*why = '\0';
	for (size_t i = 0; i < s->n_mutes; i++) {
		const struct rule_mute *m = &s->mutes[i];

		if (strcmp(m->service, rule->service) == 0 && (!*m->name || strcmp(m->name, rule->name) == 0)) {
			(void)snprintf(why, RULE_WHY_MAX + 1, "%s", m->why);
			return;
		}
	}
	for (size_t i = 0; i < json_array_size(rule->inhibited_by); i++) {
		const char *name = json_string_value(json_array_get(rule->inhibited_by, i));

		/* Those that would silence each other are all heard. */
		if (fires_by_name(s, rule->service, name) && !rule_in_circle(s, rule, name)) {
			(void)snprintf(why, RULE_WHY_MAX + 1, "alert %s", name);
			return;
		}
	}
}

static void
settle_group(struct rule_set *s, const struct rule *rule, struct rule_group *g, enum rule_told which)
{
	char why[RULE_WHY_MAX + 1];
	enum rule_told told;

	if (!rule_group_fires(g))
		return;
	find_why(s, rule, why);
	told = *why ? RULE_TOLD_MUTED : RULE_TOLD_FIRING;
	if (told != which)
		return;
	if (told == g->told && (!*why || (g->muted_by && strcmp(why, g->muted_by) == 0)))
		return;
	if (!rule_group_mute(g, why))
		return; /* without memory: at the next look */
	g->told = told;
	s->changed = true;
	rule_tell_one(rule, g, told, s->tell, s->arg);
}

static void
settle(struct rule_set *s, enum rule_told which)
{
	for (size_t i = 0; i < s->n; i++) {
		struct rule_watched *w = &s->rules[i];

		for (struct rule_group *g = w->groups; g; g = g->next)
			settle_group(s, w->rule, g, which);
		if (w->full)
			settle_group(s, w->overflow, w->full, which);
	}
}

void
rule_tell_all(struct rule_set *s)
{
	settle(s, RULE_TOLD_FIRING);
	settle(s, RULE_TOLD_MUTED);
}

void
rule_each_firing(const struct rule_set *s, rule_fn *each, void *arg)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct rule_watched *w = &s->rules[i];

		for (const struct rule_group *g = w->groups; g; g = g->next)
			if (g->told != RULE_TOLD_RESOLVED)
				rule_tell_one(w->rule, g, g->told, each, arg);
		if (w->full && w->full->told != RULE_TOLD_RESOLVED)
			rule_tell_one(w->overflow, w->full, w->full->told, each, arg);
	}
}
