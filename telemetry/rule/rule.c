/* The state machine: which rules watch a number, and what becomes of their groups. */
#include "telemetry/rule/rule.h"

#include <math.h>
#include <string.h>

#include "appliance/base/clock.h"
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

/* --- moving -------------------------------------------------------------------------------------------- */
static enum event
event_of(const struct rule *rule, const struct rule_group *g, uint64_t now_us)
{
	uint64_t lasted = now_us - g->turn_us;

	if (g->bad)
		return lasted >= rule->hold_us ? EV_HELD : EV_BAD;
	return lasted >= rule->calm_us ? EV_CALM : EV_GOOD;
}

/* The condition holds or not, since then.  What has to be told beside a resolution is rule_tell_all()'s: true where it is
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
		rule_tell_end(s, w->rule, g);
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
	/* What can be missed has to be known after a restart. */
	s->changed = s->changed || (fresh && w->rule->kind == RULE_ABSENT && w->rule->n_by > 0);
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

int
rule_order(const char *service, const char *metric, const struct rule *rule)
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

		if (rule_order(service, metric, s->rules[middle].rule) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < s->n && rule_order(service, metric, s->rules[low].rule) == 0; low++) {
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
		rule_tell_all(s);
}

/* --- time ------------------------------------------------------------------------------------------------ */
/* Forget a group that nothing comes from any more. */
static bool
is_gone(const struct rule_watched *w, const struct rule_group *g, uint64_t now_us)
{
	uint64_t gone_us = w->rule->kind == RULE_ABSENT ? w->rule->hold_us + ABSENT_GONE_US : RULE_GONE_US;

	return w->rule->n_by > 0 && now_us - g->seen_us > gone_us;
}

/* We stood still, or the clock was set: nothing could be heard in between, so nobody was absent. */
static void
skip_pause(struct rule_set *s, uint64_t now_us)
{
	uint64_t pause_us = s->ticked_us && now_us > s->ticked_us ? now_us - s->ticked_us : 0;

	s->ticked_us = now_us;
	if (pause_us <= RULE_STILL_US)
		return;
	for (size_t i = 0; i < s->n; i++)
		for (struct rule_group *g = s->rules[i].groups; s->rules[i].rule->kind == RULE_ABSENT && g; g = g->next) {
			g->seen_us += pause_us;
			if (!rule_group_fires(g))
				g->turn_us += pause_us;
			s->changed = s->changed || g->state == RULE_PENDING;
		}
}

static bool
tick_group(struct rule_set *s, struct rule_watched *w, struct rule_group *g, uint64_t now_us)
{
	if (g->seen_us > now_us) /* the clock was set back */
		g->seen_us = now_us;
	rule_series_age(s, w, g, now_us);
	if (w->rule->kind == RULE_ABSENT) /* so little is no absence yet: numbers come when they come */
		return now_us - g->seen_us >= (w->rule->hold_us / 2 < RULE_STILL_US ? w->rule->hold_us / 2 : RULE_STILL_US) &&
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

	skip_pause(s, now_us);
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
				rule_tell_end(s, w->rule, g);
				moved = true;
			}
			s->changed = true;
			*at = g->next;
			rule_group_drop(s, w, g);
		}
		if (w->full && (now_us < w->refused_us || now_us - w->refused_us > RULE_GONE_US)) {
			w->full->state = RULE_INACTIVE;
			rule_tell_end(s, w->overflow, w->full);
			w->full = rule_group_free(w->full);
			moved = true;
		}
	}
	if (moved)
		rule_tell_all(s);
}

void
rule_mute(struct rule_set *s, const struct rule_mute *mutes, size_t n, uint64_t now_us)
{
	s->n_mutes = 0;
	for (size_t i = 0; i < n && s->n_mutes < RULE_MUTES_MAX; i++)
		s->mutes[s->n_mutes++] = mutes[i];
	(void)end_mutes(s, now_us);
	rule_tell_all(s);
}

bool
rule_changed(struct rule_set *s)
{
	bool changed = s->changed;

	s->changed = false;
	return changed;
}
