/* Which rules a set has, and what they keep where they are replaced. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule_room.h"

static bool
same_rule(const struct rule *a, const struct rule *b)
{
	return strcmp(a->service, b->service) == 0 && strcmp(a->name, b->name) == 0 &&
		strcmp(a->condition, b->condition) == 0;
}

static int
by_metric(const void *a, const void *b)
{
	const struct rule_watched *x = a, *y = b;
	int r = rule_order(x->rule->service, x->rule->metric, y->rule);

	return r ? r : strcmp(x->rule->name, y->rule->name);
}

static bool
stands_before(const struct rule_watched *list, size_t n, const struct rule *rule)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].rule->name, rule->name) == 0 &&
			strcmp(list[i].rule->service, rule->service) == 0)
			return true;
	return false;
}

/* What the old rule knew, or nothing yet. */
static int
inherit(struct rule_watched *to, struct rule_watched *old, size_t n_old, uint64_t now_us)
{
	for (size_t i = 0; i < n_old; i++)
		if (old[i].groups && same_rule(old[i].rule, to->rule)) {
			to->groups = STEAL(old[i].groups);
			to->n_groups = old[i].n_groups;
			to->n_series = old[i].n_series;
			to->full = STEAL(old[i].full);
			to->overflow = STEAL(old[i].overflow);
			to->refused_us = old[i].refused_us;
			return 0;
		}
	/* What is named whole can be absent before it ever came. */
	return to->rule->n_by > 0 || rule_group_take(to, NULL, 0, now_us) ? 0 : FAULT(-ENOMEM);
}

static void
let_go(struct rule_set *s, struct rule_watched *old, bool say)
{
	struct rule_group *g;

	while ((g = old->groups)) {
		old->groups = g->next;
		s->changed = true; /* not for new rules: what they were before may be restored yet */
		if (say && rule_group_fires(g))
			rule_tell_end(s, old->rule, g);
		rule_group_drop(s, old, g);
	}
	if (say && old->full)
		rule_tell_end(s, old->overflow, old->full);
	old->full = rule_group_free(old->full);
	old->overflow = rule_unref(old->overflow);
	old->rule = rule_unref(old->rule);
}

static void
warn_of_circles(const struct rule_set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = s->rules[i].rule;

		for (size_t k = 0; k < json_array_size(rule->inhibited_by); k++) {
			const char *by = json_string_value(json_array_get(rule->inhibited_by, k));

			if (rule_in_circle(s, rule, by))
				log_warning("alerts %s and %s of %s inhibit each other in a circle: neither is silenced by it", rule->name,
					by, rule->service);
		}
	}
}

int
rule_load(struct rule_set *s, struct rule *const *rules, size_t n, uint64_t now_us)
{
	struct rule_watched *fresh, *old = s->rules;
	size_t n_old = s->n, n_fresh = 0;
	int r = 0;

	if (n > RULE_MAX)
		return REFUSE(REASON_TOO_LARGE, "rules", "%zu rules are more than %d", n, RULE_MAX);
	fresh = calloc(n + 1, sizeof(*fresh));
	if (!fresh)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (stands_before(fresh, n_fresh, rules[i])) {
			log_warning("alert %s of %s stands twice: the first one counts", rules[i]->name,
				rules[i]->service);
			continue;
		}
		fresh[n_fresh].rule = rule_ref(rules[i]);
		r = inherit(&fresh[n_fresh++], old, n_old, now_us);
	}
	qsort(fresh, n_fresh, sizeof(*fresh), by_metric);
	s->rules = fresh;
	s->n = n_fresh;
	for (size_t i = 0; i < n_old; i++)
		let_go(s, &old[i], true);
	free(old);
	warn_of_circles(s);
	rule_tell_all(s);
	return r;
}

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
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		let_go(s, &s->rules[i], false);
	free(s->rules);
	free(s);
	return NULL;
}
