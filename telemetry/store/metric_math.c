/* The mathematics of metric_query.h. */
#include <math.h>
#include <stdlib.h>

#include "telemetry/store/metric_load.h"
#include "telemetry/store/metric_query.h"

#define LOOKBACK_MS ((int64_t)METRIC_QUERY_LOOKBACK_S * 1000)

/* How much a counter rose from one sample to the next. */
static double
rise_of(const struct metric_sample *was, const struct metric_sample *is)
{
	return is->last >= was->last ? is->last - was->last : is->last;
}

/* The samples of one window: items[from..to). */
struct window {
	int64_t begin_ms, end_ms;
	size_t from, to;
};

static double
last_of(const struct window *w, const struct metric_samples *s)
{
	const struct metric_sample *last = w->to > 0 ? &s->items[w->to - 1] : NULL;

	if (!last || (w->to == w->from && last->time_ms < w->end_ms - LOOKBACK_MS))
		return NAN;
	return last->last;
}

static double
increase_of(const struct window *w, const struct metric_samples *s)
{
	double sum = 0;
	bool any = false;

	for (size_t i = w->from; i < w->to; i++) {
		const struct metric_sample *is = &s->items[i], *was = i > 0 ? is - 1 : NULL;

		if (!was || isnan(was->last) || isnan(is->last) || was->time_ms < w->begin_ms - LOOKBACK_MS)
			continue;
		sum += rise_of(was, is);
		any = true;
	}
	return any ? sum : NAN;
}

static double
of_points(const struct window *w, const struct metric_samples *s, enum metric_fn fn)
{
	double sum = 0, count = 0, min = NAN, max = NAN;

	for (size_t i = w->from; i < w->to; i++) {
		const struct metric_sample *p = &s->items[i];

		min = fmin(min, p->min);
		max = fmax(max, p->max);
		sum += p->sum;
		count += p->count;
	}
	if (fn == METRIC_AVG)
		return count > 0 ? sum / count : NAN;
	return fn == METRIC_MIN ? min : max;
}

void
metric_query_windows(double *out, size_t n, const struct metric_query *q, bool rise, const struct metric_samples *s)
{
	struct window w = { 0 };

	for (size_t i = 0; i < n; i++) {
		w.begin_ms = q->from_ms + (int64_t)i * q->step_ms;
		w.end_ms = w.begin_ms + q->step_ms < q->to_ms ? w.begin_ms + q->step_ms : q->to_ms;
		for (w.from = w.to; w.from < s->n && s->items[w.from].time_ms < w.begin_ms; w.from++)
			;
		for (w.to = w.from; w.to < s->n && s->items[w.to].time_ms < w.end_ms; w.to++)
			;
		if (rise)
			out[i] = increase_of(&w, s);
		else if (q->fn == METRIC_AVG || q->fn == METRIC_MIN || q->fn == METRIC_MAX)
			out[i] = of_points(&w, s, q->fn);
		else
			out[i] = last_of(&w, s);
		if (q->fn == METRIC_RATE)
			out[i] /= (double)q->step_ms / 1000;
	}
}

static int
ascending(const void *pa, const void *pb)
{
	const double *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

double
metric_query_quantile(double quantile, double *values, size_t n)
{
	double rank;
	size_t low;

	if (n == 0)
		return NAN;
	qsort(values, n, sizeof(*values), ascending);
	rank = quantile * (double)(n - 1);
	low = (size_t)rank;
	if (low + 1 >= n)
		return values[n - 1];
	return values[low] + (values[low + 1] - values[low]) * (rank - (double)low);
}

static int
by_bound(const void *pa, const void *pb)
{
	const struct metric_bucket *a = pa, *b = pb;

	return (a->bound > b->bound) - (a->bound < b->bound);
}

double
metric_query_histogram(double quantile, struct metric_bucket *b, size_t n)
{
	double rank, low, below, in;
	size_t i = 0;

	qsort(b, n, sizeof(*b), by_bound);
	if (n < 2 || !isinf(b[n - 1].bound) || !(b[n - 1].count > 0))
		return NAN;
	/* Counts were read at different times, or some are missing: none is less than the one before. */
	for (size_t k = 1; k < n; k++)
		b[k].count = b[k].count < b[k - 1].count ? b[k - 1].count : b[k].count;
	rank = quantile * b[n - 1].count;
	while (i < n - 1 && b[i].count < rank)
		i++;
	if (i == n - 1)
		return b[n - 2].bound;
	if (i == 0 && b[0].bound <= 0)
		return b[0].bound;
	low = i > 0 ? b[i - 1].bound : 0;
	below = i > 0 ? b[i - 1].count : 0;
	in = b[i].count - below;
	return in > 0 ? low + (b[i].bound - low) * (rank - below) / in : b[i].bound;
}
