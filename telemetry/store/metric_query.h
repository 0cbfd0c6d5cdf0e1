/* Questions about metrics of a site.
 *
 *	GET /v1/fleet/sites/{}/metrics?name=&service=&match=&from=&to=&step=&fn=&by=&offset=&format=
 *
 * name, service: exactly (either, or match, is needed); match: conditions on labels (matcher.h).  from <= time < to, RFC 3339; the last
 * hour where not given.  step: a span ("5m").  format: json or csv.
 *
 *	fn		of one series in a window [t, t + step)		over the series of a group
 *	raw		every point (no step); else the last		each for itself
 *	rate		increase / seconds				sum
 *	increase	sum of what it rose; less than before: it began anew at 0	sum
 *	sum, count	the last					sum; how many there are
 *	avg min max	of its points					avg min max
 *	quantile(Q)	the last					by linear interpolation
 *
 * by: labels, with commas; the groups.  Without it, raw, rate and increase say each series, the others one group of all.  The last of a
 * window that has no point is the last before, no older than LOOKBACK and where none said since that there is no value.  A
 * rise needs a point before it: the last one before the window, no older than LOOKBACK.  quantile of NAME_bucket: of the increase of each
 * bucket, in groups without le, as Prometheus's histogram_quantile.
 *
 * Answer: {"fn","items":[{"name","service","attributes","unit","points":[[time, value]...]}], "next"?: offset} or, in groups,
 * {"labels":{...},"points":[...]}.  Points before what is kept raw come of five minutes each, at their begin. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "telemetry/store/matcher.h"

struct db;
struct http_call;

enum {
	METRIC_QUERY_SERIES_MAX = 2000,	  /* that are asked about at once */
	METRIC_QUERY_STEPS_MAX = 11000,
	METRIC_QUERY_CELLS_MAX = 2000000, /* series times steps */
	METRIC_QUERY_READ_MAX = 5000000,  /* points that are read for one answer */
	METRIC_QUERY_POINTS_MAX = 200000, /* in one answer */
	METRIC_QUERY_PAGE = 200,	  /* series of one answer, where each is for itself */
	METRIC_QUERY_BY_MAX = 8,
	METRIC_QUERY_LOOKBACK_S = 300,
};

enum metric_fn { METRIC_RAW, METRIC_RATE, METRIC_INCREASE, METRIC_SUM, METRIC_AVG, METRIC_MIN, METRIC_MAX, METRIC_COUNT,
	METRIC_QUANTILE };


struct metric_query {
	const char *name, *service; /* NULL: any */
	struct matcher_list match;
	int64_t from_ms, to_ms;
	int64_t step_ms; /* 0: METRIC_RAW alone, each point */
	enum metric_fn fn;
	double quantile;
	bool has_by;
	char by[METRIC_QUERY_BY_MAX][MATCHER_LABEL_MAX];
	size_t n_by;
	int64_t raw_ms; /* points before are rolled up */
	uint64_t offset; /* of the first series, where each is for itself */
};

/* Append the items of the answer.  *ret_next: the offset of the next page, 0 where this is the last.  Returns 0;
 * REASON_TOO_LARGE (logged, saying what to narrow); or a fault. */
int metric_query_run(const char *customer, struct db *db, const char *site, const struct metric_query *q, json_t *items,
	uint64_t *ret_next);

/* --- the mathematics, pure -------------------------------------------------------------------------------------- */
struct metric_samples;

/* The value of one series in each of n windows from q->from_ms on; not a number where it has none. */
void metric_query_windows(double *out, size_t n, const struct metric_query *q, bool rise, const struct metric_samples *s);

/* The quantile of n numbers, which are sorted on the way. */
double metric_query_quantile(double quantile, double *values, size_t n);

/* Of a histogram: how many were at most bound, ascending, the last bound infinite. */
struct metric_bucket {
	double bound, count;
};
double metric_query_histogram(double quantile, struct metric_bucket *buckets, size_t n);

/* The route (metric_answer.c). */
int metric_query_answer(struct http_call *call, void *serve);
