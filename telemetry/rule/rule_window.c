/* How fast a counter grows. */
#include <math.h>

#include "appliance/base/clock.h"
#include "telemetry/rule/rule_room.h"

#define SPACING_MIN_US (15 * CLOCK_US_PER_S)

enum { SPOTS_A_WINDOW = 16 };

_Static_assert((int)RULE_SPOTS > SPOTS_A_WINDOW + 2, "the window has room for its beginning and its end");

static void
begin(struct rule_set *s, struct rule_window *w, uint64_t now_us)
{
	s->changed = true;
	*w = (struct rule_window){ .n = 1 };
	w->spots[0].at_us = now_us;
}

/* Keep one spot that is as old as the window, or older. */
static void
slide(struct rule_window *w, uint64_t from_us)
{
	size_t drop = 0;

	while (drop + 1 < w->n && w->spots[drop + 1].at_us <= from_us)
		drop++;
	for (size_t i = drop; i < w->n; i++)
		w->spots[i - drop] = w->spots[i];
	w->n -= drop;
}

bool
rule_window_add(struct rule_set *s, const struct rule *rule, struct rule_series *x, double *v, uint64_t now_us)
{
	struct rule_window *w = x->window;
	uint64_t spacing = rule->over_us / SPOTS_A_WINDOW, covered;
	double last = x->last, per_window;

	if (!isfinite(*v))
		return false;
	if (spacing < SPACING_MIN_US)
		spacing = SPACING_MIN_US;
	x->last = *v;
	/* The first number, a clock that was set back, a gap in which growth has no place: begin anew. */
	if (w->n == 0 || now_us < x->seen_us || now_us - x->seen_us > rule->over_us)
		begin(s, w, now_us);
	else
		w->total += *v < last ? *v : *v - last; /* a counter that fell began again at 0 */
	s->changed = s->changed || *v < last; /* what it was before nobody tells again */
	if (!isfinite(w->total))
		begin(s, w, now_us);
	/* A window is kept over restarts, but not for each number: the counter itself tells what came between.  On one
	 * grid, so that many series are one save. */
	if (now_us / spacing != w->spots[w->n - 1].at_us / spacing && w->n < RULE_SPOTS) {
		w->spots[w->n].at_us = now_us;
		w->spots[w->n++].total = w->total;
		s->changed = true;
	}
	slide(w, now_us - rule->over_us);
	covered = now_us - w->spots[0].at_us;
	per_window = w->total - w->spots[0].total;
	/* Before the window is full it is known to have grown at least so much, and nothing else. */
	if (covered < rule->over_us && rule->op != RULE_ABOVE)
		return false;
	if (covered < rule->over_us)
		covered = rule->over_us;
	*v = per_window / (double)covered * (double)rule->per_us;
	return true;
}
