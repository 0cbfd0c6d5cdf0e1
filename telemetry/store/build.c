#include "telemetry/store/build.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/serve/db.h"
#include "telemetry/store/head.h"
#include "telemetry/store/points.h"
#include "telemetry/store/store.h"

#define CHUNK_MS ((int64_t)BUILD_CHUNK_S * 1000)
#define ROLL_MS ((int64_t)BUILD_ROLL_S * 1000)

/* --- blocks ------------------------------------------------------------------------------------------------- */
bool
build_is_due(struct head *h, uint32_t site, uint64_t now_us)
{
	const struct head_site *s = head_site_at(h, site);

	return s->points > 0 && (s->points >= BUILD_SITE_POINTS || head_points() >= BUILD_HEAD_POINTS ||
				       now_us - s->oldest_us >= BUILD_AFTER_S * CLOCK_US_PER_S);
}

static int64_t
floor_to(int64_t t, int64_t unit)
{
	return t - (t % unit + unit) % unit;
}

static int
put_blocks(struct db *db, int64_t series, const struct block_point *points, size_t n)
{
	int r = 0;

	for (size_t at = 0, len; r == 0 && at < n; at += len) {
		SCOPED(buf_done) struct buf body = BUF_MAX(BLOCK_BYTES_MAX + 8);

		len = n - at < BLOCK_POINTS ? n - at : BLOCK_POINTS;
		block_encode(&body, points + at, len);
		r = buf_error(&body);
		if (r == 0)
			r = db_exec(db, "INSERT INTO blocks(series, time_from, time_to, points, body) VALUES(?1, ?2, ?3, ?4, ?5)",
				"iiiib", series, points[at].time_ms, points[at + len - 1].time_ms, (int64_t)len, body.data, body.len);
	}
	return r < 0 ? FAULT(r) : 0;
}

static int
build_series(struct db *db, const struct head_series *s)
{
	ptrdiff_t n = points_order(s->points, s->n);
	int r = n < 0 ? (int)n : put_blocks(db, s->id, s->points, (size_t)n);

	/* What comes late is rolled up again. */
	if (r == 0)
		r = db_exec(db,
			"UPDATE series SET last_value = CASE WHEN last_time <= ?2 THEN ?3 ELSE last_value END,"
			" last_time = max(last_time, ?2), rolled = min(rolled, ?4) WHERE id = ?1",
			"iiri", s->id, s->newest_ms * 1000, s->newest, floor_to(s->points[0].time_ms, CHUNK_MS));
	return r < 0 ? FAULT(r) : 0;
}

int
build_site(struct head *h, uint32_t site, struct db *db)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r = db_begin(db);

	if (r < 0)
		return FAULT(r);
	tx = db;
	for (uint32_t i = 0; r == 0 && i < head_n_series(h); i++) {
		struct head_series *s = head_series_at(h, i);

		if (s->site == site && s->n > 0)
			r = build_series(db, s);
	}
	if (r == 0)
		r = db_exec(db, "DELETE FROM point_batches WHERE site = ?1", "t", head_site_at(h, site)->site);
	r = r ? r : db_commit(STEAL(tx));
	if (r < 0)
		return FAULT(r);
	head_clear(h, site);
	return 0;
}

/* --- rolled up --------------------------------------------------------------------------------------------------- */
struct points {
	struct block_point *p; /* owned */
	size_t n, cap;
};

static void
points_done(struct points *p)
{
	free(p->p);
}

static int
load(struct db *db, int64_t series, int64_t from_ms, int64_t to_ms, struct points *out)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	size_t len, n;
	ptrdiff_t left;
	int r;

	out->n = 0;
	r = db_query(&q, db,
		"SELECT body FROM blocks WHERE series = ?1 AND time_to >= ?2 AND time_from < ?3 ORDER BY id", "iii", series,
		from_ms, to_ms);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		const void *body = db_blob(q, 0, &len);

		if (out->cap - out->n < BLOCK_POINTS) {
			size_t cap = 2 * out->cap + BLOCK_POINTS;
			struct block_point *more = realloc(out->p, cap * sizeof(*more));

			if (!more)
				return FAULT(-ENOMEM);
			out->p = more;
			out->cap = cap;
		}
		if (block_decode(out->p + out->n, &n, body, len) != 0)
			return FAULT(-EUCLEAN);
		out->n += n;
		r = 0;
	}
	left = r < 0 ? r : points_order(out->p, out->n);
	if (left < 0)
		return FAULT((int)left);
	out->n = (size_t)left;
	return 0;
}

static size_t
roll(struct build_rolled *out, const struct points *in, int64_t from_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++) {
		const struct block_point *p = &in->p[i];
		int64_t at = floor_to(p->time_ms, ROLL_MS);

		if (p->time_ms < from_ms || p->time_ms >= from_ms + CHUNK_MS)
			continue;
		if (n == 0 || out[n - 1].time_ms != at)
			out[n++] = (struct build_rolled){ at, p->value, p->value, p->value, 0, 0 };
		/* One that says "no value" ends what was there, and counts for nothing else. */
		out[n - 1].last = p->value;
		if (isnan(p->value))
			continue;
		out[n - 1].min = fmin(out[n - 1].min, p->value);
		out[n - 1].max = fmax(out[n - 1].max, p->value);
		out[n - 1].sum += p->value;
		out[n - 1].count++;
	}
	return n;
}

static const size_t columns[] = { offsetof(struct build_rolled, last), offsetof(struct build_rolled, min),
	offsetof(struct build_rolled, max), offsetof(struct build_rolled, sum), offsetof(struct build_rolled, count) };

static void
encode_rolled(struct buf *out, const struct build_rolled *rolled, size_t n)
{
	for (size_t c = 0; c < ARRAY_LEN(columns); c++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(BLOCK_BYTES_MAX + 8);
		struct block_point p[BLOCK_POINTS];

		for (size_t i = 0; i < n; i++)
			p[i] = (struct block_point){ rolled[i].time_ms,
				*(const double *)(const void *)((const char *)&rolled[i] + columns[c]) };
		block_encode(&body, p, n);
		buf_u16(out, (uint16_t)body.len);
		buf_put(out, body.data, body.len);
	}
}

int
build_unroll(struct build_rolled *out, size_t *ret_n, const void *data, size_t len)
{
	struct cursor c = CURSOR(data, len);
	struct block_point p[BLOCK_POINTS];
	size_t n = 0, first = 0;

	for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
		struct cursor body = cursor_sub(&c, cursor_u16(&c));

		if (c.failed || block_decode(p, &n, body.p, cursor_left(&body)) != 0 || (k > 0 && n != first))
			return REASON_MALFORMED;
		first = n;
		for (size_t i = 0; i < n; i++) {
			if (k > 0 && out[i].time_ms != p[i].time_ms)
				return REASON_MALFORMED;
			out[i].time_ms = p[i].time_ms;
			*(double *)(void *)((char *)&out[i] + columns[k]) = p[i].value;
		}
	}
	*ret_n = n;
	return cursor_done(&c) ? 0 : REASON_MALFORMED;
}

static int
roll_chunk(struct db *db, int64_t series, int64_t from_ms, struct points *points)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(ARRAY_LEN(columns) * (BLOCK_BYTES_MAX + 16));
	struct build_rolled rolled[BLOCK_POINTS];
	size_t n;
	int r;

	r = load(db, series, from_ms, from_ms + CHUNK_MS, points);
	if (r < 0)
		return FAULT(r);
	n = roll(rolled, points, from_ms);
	if (n == 0)
		return 0;
	encode_rolled(&body, rolled, n);
	r = buf_error(&body);
	r = r ? r : db_exec(db, "INSERT OR REPLACE INTO rollups(series, time_from, body) VALUES(?1, ?2, ?3)", "iib", series,
			    from_ms, body.data, body.len);
	return FAULT(r);
}

static int
roll_series(struct db *db, int64_t series, int64_t from_ms, int64_t to_ms, struct points *points)
{
	int64_t first;
	int r;

	/* Chunks without a block are passed over. */
	while (from_ms < to_ms) {
		r = db_number(db, &first, to_ms, "SELECT min(time_from) FROM blocks WHERE series = ?1 AND time_to >= ?2", "ii",
			series, from_ms);
		if (r < 0)
			return FAULT(r);
		from_ms = floor_to(first > from_ms ? first : from_ms, CHUNK_MS);
		if (from_ms >= to_ms)
			break;
		r = roll_chunk(db, series, from_ms, points);
		if (r < 0)
			return FAULT(r);
		from_ms += CHUNK_MS;
	}
	return FAULT(db_exec(db, "UPDATE series SET rolled = ?2 WHERE id = ?1", "ii", series, to_ms));
}

int
build_roll(struct db *db, uint64_t now_us, unsigned max)
{
	int64_t to_ms = floor_to((int64_t)(now_us / 1000) - (int64_t)BUILD_LATE_S * 1000, CHUNK_MS);
	SCOPED(points_done) struct points points = { 0 };
	SCOPED(scope_free) int64_t *todo = calloc(max, 2 * sizeof(*todo));
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int n = 0, r;

	if (!todo)
		return FAULT(-ENOMEM);
	r = db_query(&q, db, "SELECT id, rolled FROM series WHERE rolled < ?1 AND last_time / 1000 >= rolled AND last_time > 0 LIMIT ?2",
		"ii", to_ms, (int64_t)max);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		todo[2 * n] = db_i64(q, 0);
		todo[2 * n++ + 1] = db_i64(q, 1);
		r = 0;
	}
	q = db_query_end(q);
	if (r < 0 || n == 0)
		return FAULT(r);
	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	for (int i = 0; r == 0 && i < n; i++)
		r = roll_series(db, todo[2 * i], todo[2 * i + 1], to_ms, &points);
	r = r ? r : db_commit(STEAL(tx));
	return r < 0 ? FAULT(r) : n;
}

/* --- what is old ---------------------------------------------------------------------------------------------------- */
/* Series of which nothing is left, some of them. */
static int
drop_series(struct head *h, struct db *db, int64_t before_us, bool *ret_gone)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int64_t ids[256];
	size_t n = 0;
	int r;

	r = db_query(&q, db, "SELECT id FROM series WHERE last_time > 0 AND last_time < ?1", "i", before_us);
	while (r == 0 && n < ARRAY_LEN(ids) && (r = db_next(q)) == DB_ROW) {
		if (!head_peek(h, db_i64(q, 0)))
			ids[n++] = db_i64(q, 0);
		r = 0;
	}
	q = db_query_end(q);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = db_exec(db, "DELETE FROM series WHERE id = ?1", "i", ids[i]);
	*ret_gone = n > 0;
	return r < 0 ? FAULT(r) : 0;
}

int
build_sweep(struct head *h, struct db *db, uint64_t now_us, bool *ret_gone)
{
	int64_t raw_ms = (int64_t)(now_us / 1000) - (int64_t)STORE_KEEP_S * 1000;
	int64_t rolled_ms = (int64_t)(now_us / 1000) - (int64_t)BUILD_KEEP_S * 1000;
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r = db_begin(db);

	*ret_gone = false;
	if (r < 0)
		return FAULT(r);
	tx = db;
	r = db_exec(db, "DELETE FROM blocks WHERE time_to < ?1", "i", raw_ms);
	if (r == 0)
		r = db_exec(db, "DELETE FROM rollups WHERE time_from < ?1", "i", rolled_ms - CHUNK_MS);
	r = r ? r : drop_series(h, db, rolled_ms * 1000, ret_gone);
	r = r ? r : db_commit(STEAL(tx));
	return r < 0 ? FAULT(r) : 0;
}
