/* The set: which rules watch a number, what becomes of their groups, what is told. */
#include "telemetry/rule/rule.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule_room.h"

enum event { EV_BAD, EV_HELD, EV_GOOD, EV_CALM, EV_MAX };
enum act { ACT_NONE, ACT_FIRE, ACT_RESOLVE };

/* A group of absent fires because nothing comes: it is forgotten later. */
#define ABSENT_GONE_US (86400 * CLOCK_US_PER_S)

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

/* --- telling ------------------------------------------------------------------------------------------ */
static void
hand_over(const struct rule *rule, const struct rule_group *g, enum rule_told told, rule_fn *fn, void *arg)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(RULE_TEXT_MAX);

	rule_words(&text, rule, g->labels, rule->n_by, g->value);
	/* Longer with its values than texts may be: then as it was written. */
	fn(&(struct rule_alert){ .rule = rule, .told = told, .since_us = g->fired_us, .value = g->value,
		.text = buf_error(&text) ? rule->text : buf_text(&text), .labels = g->labels,
		.n_labels = rule->n_by, .group = g->text,
		.muted_by = told == RULE_TOLD_MUTED ? g->muted_by : "" }, arg);
}

static void
resolve(struct rule_set *s, const struct rule *rule, struct rule_group *g)
{
	hand_over(rule, g, RULE_TOLD_RESOLVED, s->tell, s->arg);
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

		if (fires_by_name(s, rule->service, name)) {
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
	hand_over(rule, g, told, s->tell, s->arg);
}

static void
settle_all(struct rule_set *s, enum rule_told which)
{
	for (size_t i = 0; i < s->n; i++) {
		struct rule_watched *w = &s->rules[i];

		for (struct rule_group *g = w->groups; g; g = g->next)
			settle_group(s, w->rule, g, which);
		if (w->full)
			settle_group(s, w->overflow, w->full, which);
	}
}

/* Tell of every alert what has not been told: what inhibits before what it silences. */
static void
settle(struct rule_set *s)
{
	settle_all(s, RULE_TOLD_FIRING);
	settle_all(s, RULE_TOLD_MUTED);
}

/* --- moving -------------------------------------------------------------------------------------------- */
static enum event
event_of(const struct rule *rule, const struct rule_group *g, uint64_t now_us)
{
	uint64_t lasted = now_us - g->turn_us;

	if (g->bad)
		return lasted >= rule->hold_us ? EV_HELD : EV_BAD;
	return lasted >= rule->calm_us ? EV_CALM : EV_GOOD;
}

/* The condition holds or not, since then.  What has to be told beside a resolution is settle()'s: true where it is
 * to be called. */
static bool
move(struct rule_set *s, const struct rule_watched *w, struct rule_group *g, bool bad, uint64_t turn_us,
	uint64_t now_us)
{
	const struct edge *e;

	if (bad != g->bad || now_us < g->turn_us) { /* a clock that was set back starts the span anew */
		g->turn_us = turn_us;
		s->changed = s->changed || g->state != RULE_INACTIVE;
	}
	g->bad = bad;
	e = &edges[g->state][event_of(w->rule, g, now_us)];
	if (!e->set)
		return false;
	g->state = e->next;
	s->changed = true;
	if (e->act == ACT_FIRE) {
		g->fired_us = now_us;
		g->told = RULE_TOLD_RESOLVED;
	}
	if (e->act == ACT_RESOLVE)
		resolve(s, w->rule, g);
	return e->act != ACT_NONE;
}

static bool
crosses(const struct rule *rule, double bound, double v)
{
	switch (rule->op) {
	case RULE_BELOW:
		return v < bound;
	case RULE_ABOVE:
		return v > bound;
	case RULE_EQUAL:
		return !(v < bound) && !(v > bound);
	default:
		return v < bound || v > bound;
	}
}

/* Is the condition true of this number?  false: it cannot be said yet.  *v becomes what is compared. */
static bool
judge(struct rule_set *s, const struct rule *rule, const struct rule_group *g, struct rule_series *x, bool fresh,
	double *v, bool *ret_bad, uint64_t now_us)
{
	bool changed = !fresh && (*v < x->last || *v > x->last);

	switch (rule->kind) {
	case RULE_ABSENT:
		*ret_bad = false;
		return true;
	case RULE_CHANGE:
		s->changed = s->changed || fresh || changed;
		x->last = *v;
		*ret_bad = changed;
		return true;
	case RULE_RATE:
		if (!rule_window_add(s, rule, x, v, now_us))
			return false;
		break;
	default:
		x->last = *v;
	}
	/* What fires goes on until it is beyond clear. */
	*ret_bad = crosses(rule, x->bad && rule_group_fires(g) ? rule->clear : rule->bound, *v);
	return true;
}

/* The numbers of one series, one after the other. */
static bool
feed_series(struct rule_set *s, const struct rule_watched *w, struct rule_group *g, struct rule_series *x,
	bool fresh, double value, uint64_t now_us)
{
	bool bad = false, said = judge(s, w->rule, g, x, fresh, &value, &bad, now_us);

	x->seen_us = g->seen_us = now_us;
	if (!said)
		return false;
	if (bad != x->bad) {
		g->n_bad = bad ? g->n_bad + 1 : g->n_bad - 1;
		s->changed = s->changed || g->state != RULE_INACTIVE;
	}
	x->bad = bad;
	if (bad || g->n_bad == 0)
		g->value = value;
	return move(s, w, g, g->n_bad > 0, now_us, now_us);
}

/* --- finding --------------------------------------------------------------------------------------------- */
static bool
is_watched(const struct rule *rule, const struct rule_label *labels, size_t n)
{
	for (size_t i = 0; i < rule->n_where; i++) {
		const char *value = "";

		for (size_t j = 0; j < n; j++)
			if (strcmp(labels[j].name, rule->where[i].name) == 0)
				value = labels[j].value;
		if (strcmp(value, rule->where[i].value) != 0)
			return false;
	}
	return true;
}

static int
order(const char *service, const char *metric, const struct rule *rule)
{
	int r = strcmp(service, rule->service);

	return r ? r : strcmp(metric, rule->metric);
}

void
rule_feed(struct rule_set *s, const char *service, const char *metric, const struct rule_label *labels,
	size_t n_labels, double value, uint64_t now_us)
{
	size_t low = 0, high = s->n;
	bool moved = false;

	if (isnan(value))
		return;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (order(service, metric, s->rules[middle].rule) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < s->n && order(service, metric, s->rules[low].rule) == 0; low++) {
		struct rule_watched *w = &s->rules[low];
		struct rule_series *x;
		struct rule_group *g;
		bool fresh;

		if (!is_watched(w->rule, labels, n_labels))
			continue;
		x = rule_series_take(s, w, labels, n_labels, now_us, &g, &fresh);
		if (x)
			moved = feed_series(s, w, g, x, fresh, value, now_us) || moved;
		else
			moved = true; /* it does not fit, which is told */
	}
	if (moved)
		settle(s);
}

/* --- time ------------------------------------------------------------------------------------------------ */
/* Forget a group that nothing comes from any more. */
static bool
is_gone(const struct rule_watched *w, const struct rule_group *g, uint64_t now_us)
{
	uint64_t gone_us = w->rule->kind == RULE_ABSENT ? w->rule->hold_us + ABSENT_GONE_US : RULE_GONE_US;

	return w->rule->n_by > 0 && now_us - g->seen_us > gone_us;
}

static bool
tick_group(struct rule_set *s, struct rule_watched *w, struct rule_group *g, uint64_t now_us)
{
	if (g->seen_us > now_us) /* the clock was set back */
		g->seen_us = now_us;
	rule_series_age(s, w, g, now_us);
	if (w->rule->kind == RULE_ABSENT) /* half of the span is no absence yet: numbers come when they come */
		return now_us - g->seen_us >= w->rule->hold_us / 2 &&
			move(s, w, g, true, g->seen_us, now_us);
	return w->rule->kind == RULE_CHANGE && move(s, w, g, false, now_us, now_us);
}

static bool
end_mutes(struct rule_set *s, uint64_t now_us)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_mutes; i++)
		if (s->mutes[i].until_us > now_us && s->mutes[i].until_us - now_us <= RULE_MUTE_MAX_US)
			s->mutes[n++] = s->mutes[i];
	if (n == s->n_mutes)
		return false;
	s->n_mutes = n;
	return true;
}

void
rule_tick(struct rule_set *s, uint64_t now_us)
{
	bool moved = end_mutes(s, now_us);

	for (size_t i = 0; i < s->n; i++) {
		struct rule_watched *w = &s->rules[i];
		struct rule_group **at = &w->groups, *g;

		while ((g = *at)) {
			moved = tick_group(s, w, g, now_us) || moved;
			if (!is_gone(w, g, now_us)) {
				at = &g->next;
				continue;
			}
			if (rule_group_fires(g)) {
				g->state = RULE_INACTIVE;
				resolve(s, w->rule, g);
				moved = true;
			}
			s->changed = true;
			*at = g->next;
			rule_group_drop(s, w, g);
		}
		if (w->full && (now_us < w->refused_us || now_us - w->refused_us > RULE_GONE_US)) {
			w->full->state = RULE_INACTIVE;
			resolve(s, w->overflow, w->full);
			w->full = rule_group_free(w->full);
			moved = true;
		}
	}
	if (moved)
		settle(s);
}

void
rule_mute(struct rule_set *s, const struct rule_mute *mutes, size_t n, uint64_t now_us)
{
	s->n_mutes = 0;
	for (size_t i = 0; i < n && s->n_mutes < RULE_MUTES_MAX; i++)
		s->mutes[s->n_mutes++] = mutes[i];
	(void)end_mutes(s, now_us);
	settle(s);
}

/* --- the rules -------------------------------------------------------------------------------------------- */
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
	int r = order(x->rule->service, x->rule->metric, y->rule);

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
			resolve(s, old->rule, g);
		rule_group_drop(s, old, g);
	}
	if (say && old->full)
		resolve(s, old->overflow, old->full);
	old->full = rule_group_free(old->full);
	old->overflow = rule_unref(old->overflow);
	old->rule = rule_unref(old->rule);
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
	settle(s);
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

void
rule_each_firing(const struct rule_set *s, rule_fn *each, void *arg)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct rule_watched *w = &s->rules[i];

		for (const struct rule_group *g = w->groups; g; g = g->next)
			if (g->told != RULE_TOLD_RESOLVED)
				hand_over(w->rule, g, g->told, each, arg);
		if (w->full && w->full->told != RULE_TOLD_RESOLVED)
			hand_over(w->overflow, w->full, w->full->told, each, arg);
	}
}

bool
rule_changed(struct rule_set *s)
{
	bool changed = s->changed;

	s->changed = false;
	return changed;
}
