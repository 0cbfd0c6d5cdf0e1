#include "telemetry/store/metric_load.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/serve/db.h"
#include "telemetry/store/build.h"
#include "telemetry/store/head.h"
#include "telemetry/store/points.h"

#define CHUNK_MS ((int64_t)BUILD_CHUNK_S * 1000)

void
metric_load_done(struct metric_samples *s)
{
	free(s->items);
	*s = (struct metric_samples){ 0 };
}

/* Points on their way, in the order in which they came. */
struct raw {
	struct block_point *p;
	size_t n, cap, max;
	int64_t from_ms, to_ms;
};

static void
raw_done(struct raw *raw)
{
	free(raw->p);
}

static int
add(struct raw *raw, const struct block_point *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i].time_ms < raw->from_ms || p[i].time_ms >= raw->to_ms)
			continue;
		if (raw->n == raw->max)
			return REASON_TOO_LARGE;
		if (raw->n == raw->cap) {
			size_t cap = 2 * raw->cap + BLOCK_POINTS;
			struct block_point *more = realloc(raw->p, cap * sizeof(*more));

			if (!more)
				return FAULT(-ENOMEM);
			raw->p = more;
			raw->cap = cap;
		}
		raw->p[raw->n++] = p[i];
	}
	return 0;
}

static int
add_blocks(struct raw *raw, struct db *db, int64_t series)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct block_point p[BLOCK_POINTS];
	size_t len, n;
	int r;

	/* In the order in which they were built: what came later stands. */
	r = db_query(&q, db, "SELECT body FROM blocks WHERE series = ?1 AND time_to >= ?2 AND time_from < ?3 ORDER BY id", "iii",
		series, raw->from_ms, raw->to_ms);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		const void *body = db_blob(q, 0, &len);

		r = block_decode(p, &n, body, len) == 0 ? add(raw, p, n) : -EUCLEAN;
	}
	return r < 0 ? FAULT(r) : r;
}

static int
append(struct metric_samples *s, const struct metric_sample *sample)
{
	if (s->n == s->cap) {
		size_t cap = 2 * s->cap + BLOCK_POINTS;
		struct metric_sample *more = realloc(s->items, cap * sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		s->items = more;
		s->cap = cap;
	}
	s->items[s->n++] = *sample;
	return 0;
}

static int
append_rolled(struct metric_samples *s, struct db *db, int64_t series, int64_t from_ms, int64_t to_ms, size_t max)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct build_rolled rolled[BLOCK_POINTS];
	size_t len, n;
	int r;

	r = db_query(&q, db,
		"SELECT body FROM rollups WHERE series = ?1 AND time_from > ?2 AND time_from < ?3 ORDER BY time_from", "iii", series,
		from_ms - CHUNK_MS, to_ms);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		const void *body = db_blob(q, 0, &len);

		r = build_unroll(rolled, &n, body, len) == 0 ? 0 : -EUCLEAN;
		for (size_t i = 0; r == 0 && i < n; i++) {
			const struct build_rolled *b = &rolled[i];

			if (b->time_ms < from_ms || b->time_ms >= to_ms)
				continue;
			r = s->n < max ? append(s, &(struct metric_sample){ b->time_ms, b->last, b->min, b->max, b->sum, b->count })
				       : REASON_TOO_LARGE;
		}
	}
	return r < 0 ? FAULT(r) : r;
}

int
metric_load(struct metric_samples *s, struct head *h, struct db *db, int64_t series, int64_t from_ms, int64_t to_ms,
	int64_t raw_ms, size_t max)
{
	const struct head_series *open = head_peek(h, series);
	SCOPED(raw_done) struct raw raw = { .from_ms = from_ms > raw_ms ? from_ms : raw_ms, .to_ms = to_ms, .max = max };
	ptrdiff_t n = 0;
	int r = 0;

	s->n = 0;
	if (from_ms < raw_ms)
		r = append_rolled(s, db, series, from_ms, to_ms < raw_ms ? to_ms : raw_ms, max);
	raw.max = max - s->n;
	r = r ? r : add_blocks(&raw, db, series);
	if (r == 0 && open)
		r = add(&raw, open->points, open->n);
	if (r == 0)
		n = points_order(raw.p, raw.n);
	if (n < 0)
		r = (int)n;
	for (ptrdiff_t i = 0; r == 0 && i < n; i++) {
		double v = raw.p[i].value, some = isnan(v) ? 0 : v;

		r = append(s, &(struct metric_sample){ raw.p[i].time_ms, v, v, v, some, !isnan(v) });
	}
	return r < 0 ? FAULT(r) : r;
}
