#include "telemetry/scrape/exposition_group.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double COUNT_MAX = 9007199254740992.0; /* whole numbers a double tells apart */

void
exposition_group_begin(struct exposition_group *g, enum exposition_type type, bool strict,
	const struct exposition_line *line, size_t leave_out)
{
	size_t at[OTLP_LABELS_MAX][2], n = 0;

	buf_reset(&g->text);
	g->type = type;
	g->strict = strict;
	g->n = 0;
	g->n_labels = line->n_labels - (leave_out < line->n_labels);
	g->has_value = g->has_sum = g->has_count = g->has_created = false;
	for (size_t i = 0; i < line->n_labels && g->n_labels <= OTLP_LABELS_MAX; i++) {
		if (i == leave_out)
			continue;
		at[n][0] = g->text.len;
		buf_put(&g->text, line->labels[i].name, strlen(line->labels[i].name) + 1);
		at[n++][1] = g->text.len;
		buf_put(&g->text, line->labels[i].value, strlen(line->labels[i].value) + 1);
	}
	for (size_t i = 0; i < n && buf_error(&g->text) == 0; i++)
		g->labels[i] = (struct otlp_label){ (const char *)g->text.data + at[i][0],
			(const char *)g->text.data + at[i][1] };
}

static bool
is_count(double v)
{
	return v >= 0 && v <= COUNT_MAX && floor(v) == v;
}

static const char *
put_bucket(struct exposition_group *g, double value, double at)
{
	if (!is_count(value))
		return "has a bucket that is no count";
	if (g->strict && g->n > 0 && at <= g->bounds[g->n - 1])
		return "has a bucket out of order";
	if (g->n > OTLP_BUCKETS_MAX)
		return "has a bucket too many: 512 and +Inf may be";
	g->bounds[g->n] = at;
	g->values[g->n++] = value;
	return NULL;
}

static const char *
put_quantile(struct exposition_group *g, double value, double at)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->bounds[i] == at)
			return "has a quantile twice";
	if (g->strict && value < 0)
		return "has a quantile's value below 0";
	if (g->n == OTLP_BUCKETS_MAX)
		return "has a quantile too many: 512 may be";
	g->bounds[g->n] = at;
	g->values[g->n++] = value;
	return NULL;
}

const char *
exposition_group_put(struct exposition_group *g, enum exposition_role role, double value, double at)
{
	bool counts = role == EXPOSITION_COUNT || role == EXPOSITION_GCOUNT;

	if (role == EXPOSITION_BUCKET)
		return put_bucket(g, value, at);
	if (role == EXPOSITION_QUANTILE)
		return put_quantile(g, value, at);
	if (role == EXPOSITION_CREATED) {
		if (!(value >= 0))
			return "has a start that is no time";
		g->has_created = true;
		g->created_s = value;
		return NULL;
	}
	if (counts && !is_count(value))
		return "has a count that is none";
	if (g->strict && isnan(value))
		return "has a sum or a total that is no number";
	if (g->strict && value < 0 && role != EXPOSITION_GSUM)
		return "has a sum or a total below 0";
	if (counts) {
		if (g->has_count)
			return "has a count twice";
		g->has_count = true;
		g->count = value;
	} else if (role == EXPOSITION_TOTAL) {
		g->has_value = true;
		g->value = value;
	} else {
		if (g->has_sum)
			return "has a sum twice";
		g->has_sum = true;
		g->sum = value;
	}
	return NULL;
}

struct pair {
	double bound, value;
};

static int
by_bound(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return (x->bound > y->bound) - (x->bound < y->bound);
}

/* The older format promises no order. */
static void
sort(struct exposition_group *g)
{
	struct pair pairs[OTLP_BUCKETS_MAX + 1];
	bool sorted = true;

	for (size_t i = 0; i < g->n; i++) {
		pairs[i] = (struct pair){ g->bounds[i], g->values[i] };
		sorted = sorted && (i == 0 || g->bounds[i - 1] <= g->bounds[i]);
	}
	if (sorted)
		return;
	qsort(pairs, g->n, sizeof(*pairs), by_bound);
	for (size_t i = 0; i < g->n; i++) {
		g->bounds[i] = pairs[i].bound;
		g->values[i] = pairs[i].value;
	}
}

static const char *
check_strict(const struct exposition_group *g)
{
	bool negative = g->n > 0 && g->bounds[0] < 0;
	bool gauge = g->type == EXPOSITION_GAUGEHISTOGRAM;

	if (g->n == 0 || !isinf(g->bounds[g->n - 1]))
		return "ends a histogram without its bucket +Inf";
	if (g->has_count != g->has_sum)
		return "ends a histogram with one of count and sum, not both";
	if (g->has_count && g->count != g->values[g->n - 1])
		return "ends a histogram whose count is not that of its bucket +Inf";
	if (negative && g->has_sum && !gauge)
		return "ends a histogram with a sum and buckets below 0";
	if (!negative && g->has_sum && gauge && g->sum < 0)
		return "ends a histogram with a sum below 0 and no buckets below 0";
	return NULL;
}

static const char *
end_histogram(struct exposition_group *g)
{
	struct otlp_distribution *d = &g->distribution;
	const char *bad = g->strict ? check_strict(g) : NULL;
	double before = 0;
	size_t n;

	if (bad)
		return bad;
	sort(g);
	for (size_t i = 0; i < g->n; i++) {
		if (g->values[i] < before || (i > 0 && g->bounds[i] == g->bounds[i - 1]))
			return "ends a histogram whose buckets do not add up";
		g->buckets[i] = (uint64_t)(g->values[i] - before);
		before = g->values[i];
	}
	n = g->n;
	if (n == 0 || !isinf(g->bounds[n - 1])) {
		/* The older format may leave +Inf to the count. */
		if (!g->has_count || g->count < before)
			return "ends a histogram with neither bucket +Inf nor a count";
		if (n > OTLP_BUCKETS_MAX)
			return "ends a histogram with a bucket too many: 512 may be";
		g->buckets[n++] = (uint64_t)(g->count - before);
		before = g->count;
	}
	*d = (struct otlp_distribution){ .count = (uint64_t)before,
		.has_sum = g->has_sum,
		.sum = g->sum,
		.bounds = g->bounds,
		.n_bounds = n - 1,
		.buckets = g->buckets };
	return NULL;
}

const char *
exposition_group_end(struct exposition_group *g)
{
	if (g->type == EXPOSITION_HISTOGRAM || g->type == EXPOSITION_GAUGEHISTOGRAM)
		return end_histogram(g);
	if (g->type == EXPOSITION_SUMMARY) {
		sort(g);
		g->distribution =
			(struct otlp_distribution){ .count = g->has_count ? (uint64_t)g->count : 0,
				.has_sum = g->has_sum,
				.sum = g->sum,
				.bounds = g->bounds,
				.n_bounds = g->n,
				.values = g->values };
	}
	return NULL;
}
