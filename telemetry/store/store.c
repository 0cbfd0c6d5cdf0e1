#include "telemetry/store/store.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/registry.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/store/build.h"
#include "telemetry/store/head.h"
#include "telemetry/store/metric_query.h"
#include "telemetry/store/point_batch.h"
#include "telemetry/store/series.h"
#include "telemetry/store/store_pace.h"

enum {
	FUTURE_S = 24 * 3600, /* a point may claim to be so far ahead of the hub's clock */
	ROLL_TURN = 500,      /* series that are rolled up in one transaction */
	ROLL_TURNS = 8,	      /* a minute, of one customer */
};

static const char *const customer_steps[] = {
	"CREATE TABLE series("
	"  id INTEGER PRIMARY KEY, site TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL,"
	"  attributes TEXT NOT NULL, unit TEXT NOT NULL, last_time INTEGER NOT NULL, last_value "
	"REAL,"
	"  UNIQUE(site, name, service, attributes)) STRICT;"
	"CREATE TABLE points("
	"  series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL,"
	"  PRIMARY KEY(series, time)) STRICT, WITHOUT ROWID;",
	/* No hub was ever released with rows of points. */
	"DROP TABLE points;"
	"ALTER TABLE series ADD COLUMN rolled INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE point_batches("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, taken INTEGER NOT NULL, points INTEGER NOT NULL,"
	"  body BLOB NOT NULL) STRICT;"
	"CREATE INDEX point_batches_by_site ON point_batches(site);"
	"CREATE TABLE blocks("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, time_from INTEGER NOT NULL,"
	"  time_to INTEGER NOT NULL, points INTEGER NOT NULL, body BLOB NOT NULL) STRICT;"
	"CREATE INDEX blocks_by_series ON blocks(series, time_to, time_from);"
	"CREATE INDEX blocks_by_end ON blocks(time_to);"
	"CREATE TABLE rollups("
	"  series INTEGER NOT NULL, time_from INTEGER NOT NULL, body BLOB NOT NULL,"
	"  PRIMARY KEY(series, time_from)) STRICT, WITHOUT ROWID;",
};
static const struct db_migration customer_migration = { "telemetry/store", customer_steps,
	ARRAY_LEN(customer_steps) };

static uint64_t stored;

/* --- taking points --------------------------------------------------------------------------------------------- */
struct staged {
	uint32_t series;
	int64_t time_ms;
	double value;
};

struct store_batch {
	char customer[65];
	struct series_place place;
	uint64_t now_us;
	struct staged *staged;
	size_t n, cap;
};

int
store_begin(struct store_batch **ret, const char *customer, struct db *db, const char *site, const char *via)
{
	SCOPED(scope_free) struct store_batch *b = NULL;
	int r;

	r = store_pace_check(customer, site, via, clock_mono_us());
	if (r != 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return FAULT(-ENOMEM);
	(void)snprintf(b->customer, sizeof(b->customer), "%s", customer);
	b->now_us = clock_now_us();
	b->place.db = db;
	b->place.via = via;
	r = head_open(&b->place.head, customer, db);
	r = r ? r : head_site(b->place.head, site, &b->place.site);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(b);
	return 0;
}

static int
put_staged(struct store_batch *b, uint32_t series, const struct otlp_point *point, double value)
{
	if (b->n == STORE_BATCH_POINTS_MAX)
		return REFUSE(REASON_TOO_LARGE, "metric", "more than %d points in one batch", STORE_BATCH_POINTS_MAX);
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 256;
		struct staged *more = realloc(b->staged, cap * sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		b->staged = more;
		b->cap = cap;
	}
	b->staged[b->n++] = (struct staged){ series, (int64_t)(point->time_ns / 1000000), value };
	return 0;
}

static int
stage(struct store_batch *b, const struct otlp_point *point, const char *suffix, const char *label, double bound, double value)
{
	const struct series_part part = { suffix, label, bound };
	uint32_t series;
	int r = series_find(&series, &b->place, point, &part);

	return r == 0 ? put_staged(b, series, point, value) : r < 0 ? FAULT(r) : r;
}

static int
stage_buckets(struct store_batch *b, const struct otlp_point *point, bool gone)
{
	uint64_t below = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < point->n_bucket_counts; i++) {
		below += point->bucket_counts[i];
		r = stage(b, point, "_bucket", "le", i < point->n_bounds ? point->bounds[i] : INFINITY,
			gone ? NAN : (double)below);
	}
	return r;
}

static int
stage_distribution(struct store_batch *b, const struct otlp_point *point, bool gone)
{
	int r = stage(b, point, "_count", NULL, 0, gone ? NAN : (double)point->count);

	if (r == 0 && (point->has_sum || gone))
		r = stage(b, point, "_sum", NULL, 0, gone ? NAN : point->sum);
	if (r == 0 && point->kind == OTLP_KIND_HISTOGRAM)
		r = stage_buckets(b, point, gone);
	for (size_t i = 0; r == 0 && point->kind == OTLP_KIND_SUMMARY && i < point->n_bounds; i++)
		r = stage(b, point, "", "quantile", point->bounds[i], gone ? NAN : point->values[i]);
	return r;
}

static bool
is_number(const struct otlp_point *point)
{
	return point->kind == OTLP_KIND_GAUGE || point->kind == OTLP_KIND_SUM;
}

/* What is asked of every point but a series. */
static int
check_point(const struct store_batch *b, const struct otlp_point *point)
{
	uint64_t time_us = point->time_ns / 1000;

	if (time_us < 1000 || time_us > b->now_us + FUTURE_S * CLOCK_US_PER_S)
		return REFUSE(REASON_MALFORMED, "metric", "the time of a point is none, or lies in the future");
	if (time_us < b->now_us - STORE_KEEP_S * CLOCK_US_PER_S)
		return REFUSE(REASON_EXPIRED, "metric", "a point is older than the %d days that are kept", STORE_KEEP_S / 86400);
	if (is_number(point) && !point->has_value && !(point->flags & OTLP_FLAG_NO_VALUE))
		return REFUSE(REASON_MALFORMED, "metric", "a point without a value");
	return 0;
}

int
store_number(struct store_batch *b, const struct otlp_point *point)
{
	int64_t series = series_known(&b->place, point);
	int r;

	if (series == HEAD_NONE)
		return OTLP_DECODE_WHOLE;
	r = check_point(b, point);
	return r == 0 ? put_staged(b, (uint32_t)series, point, point->flags & OTLP_FLAG_NO_VALUE ? NAN : point->real) : r;
}

int
store_point(struct store_batch *b, const struct otlp_point *point)
{
	bool gone = point->flags & OTLP_FLAG_NO_VALUE;
	size_t before = b->n;
	int r = check_point(b, point);

	if (r != 0)
		return r;
	if (is_number(point))
		r = stage(b, point, "", NULL, 0, gone ? NAN : point->real);
	else
		r = stage_distribution(b, point, gone);
	/* A point is taken whole or not at all. */
	if (r != 0)
		b->n = before;
	return r < 0 ? FAULT(r) : r;
}

int
store_write(struct store_batch *b)
{
	SCOPED(buf_done) struct buf body = BUF_MAX((size_t)30 * (b->n + 1));
	SCOPED(scope_free) struct point_batch_item *items = NULL;
	int r;

	if (b->n == 0)
		return 0;
	items = malloc(b->n * sizeof(*items));
	if (!items)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < b->n; i++)
		items[i] = (struct point_batch_item){ head_series_id(b->place.head, b->staged[i].series),
			b->staged[i].time_ms, b->staged[i].value };
	point_batch_encode(&body, items, b->n);
	r = buf_error(&body);
	r = r ? r : db_exec(b->place.db, "INSERT INTO point_batches(site, taken, points, body) VALUES(?1, ?2, ?3, ?4)", "tiib",
			    head_site_at(b->place.head, b->place.site)->site, (int64_t)b->now_us, (int64_t)b->n, body.data, body.len);
	return FAULT(r);
}

/* What was committed becomes open. */
static int
open_points(struct store_batch *b)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n; i++)
		r = head_put(b->place.head, b->staged[i].series, b->staged[i].time_ms, b->staged[i].value, b->now_us);
	if (r < 0)
		return FAULT(r);
	stored += b->n;
	store_pace_count(b->customer, head_site_at(b->place.head, b->place.site)->site, b->place.via, b->n, clock_mono_us());
	if (head_site_at(b->place.head, b->place.site)->points >= BUILD_SITE_POINTS || head_points() >= BUILD_HEAD_POINTS)
		r = build_site(b->place.head, b->place.site, b->place.db);
	return FAULT(r);
}

void
store_end(struct store_batch *b, bool committed)
{
	int r = 0;

	if (!b)
		return;
	if (committed)
		r = open_points(b);
	/* It may know series that were rolled back, or half of the points: it is read again. */
	if (!committed || r < 0)
		head_forget(b->customer);
	if (r < 0)
		log_fault(r, "open the points of a batch that was stored");
	free(b->staged);
	free(b);
}

/* --- the newest ---------------------------------------------------------------------------------------------------- */
json_t *
store_value_json(double v)
{
	if (isnan(v))
		return json_null();
	if (isinf(v))
		return json_string(v > 0 ? "Infinity" : "-Infinity");
	/* A whole number stays one, as far as a double holds them. */
	if (v == trunc(v) && fabs(v) < 9007199254740992.0)
		return json_integer((json_int_t)v);
	return json_real(v);
}

static int
append_latest(struct head *h, struct db_query *q, json_t *items)
{
	const struct head_series *open = head_peek(h, db_i64(q, 0));
	int64_t time_us = db_i64(q, 6);
	double value = db_null(q, 5) ? NAN : db_real(q, 5);
	SCOPED_JSON *attributes = json_load_text(db_text(q, 3), 0);
	json_t *item;
	int r;

	if (open && open->newest_ms * 1000 >= time_us) {
		time_us = open->newest_ms * 1000;
		value = open->newest;
	}
	if (time_us == 0)
		return 0;
	item = json_pack("{s:s, s:s, s:O, s:s, s:o}", "name", db_text(q, 1), "service", db_text(q, 2), "attributes", attributes,
		"unit", db_text(q, 4), "value", store_value_json(value));
	r = item ? json_put_time(item, "time", (uint64_t)time_us) : -ENOMEM;
	if (json_array_append_new(items, item) < 0)
		r = -ENOMEM;
	return r;
}

int
store_latest(const char *customer, struct db *db, const char *site, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct head *h;
	int r;

	r = head_open(&h, customer, db);
	r = r ? r : db_query(&q, db,
			    "SELECT id, name, service, attributes, unit, last_value, last_time FROM series WHERE site = ?1"
			    " ORDER BY service, name, attributes",
			    "t", site);
	while (r == 0 && (r = db_next(q)) == DB_ROW)
		r = append_latest(h, q, items);
	return r < 0 ? FAULT(r) : 0;
}

/* --- module -------------------------------------------------------------------------------------------------------- */
static int
on_site(void *state, const struct registry_site *site, struct db *customer, json_t *page)
{
	SCOPED_JSON *items = json_array();
	int r;

	(void)state;
	r = store_latest(site->customer, customer, site->site, items);
	if (r == 0 && json_object_set(page, "metrics", items) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

static int
build_customer(const char *name, struct db *db, void *arg)
{
	const uint64_t *now_us = arg;
	struct head *h;
	int r = head_open(&h, name, db);

	for (uint32_t i = 0; r == 0 && i < head_sites(h); i++)
		if (build_is_due(h, i, *now_us))
			r = build_site(h, i, db);
	for (int turn = 0, n = ROLL_TURN; r == 0 && turn < ROLL_TURNS && n == ROLL_TURN; turn++) {
		n = build_roll(db, *now_us, ROLL_TURN);
		r = n < 0 ? n : 0;
	}
	return r < 0 ? FAULT(r) : 0;
}

static int
sweep_customer(const char *name, struct db *db, void *arg)
{
	const uint64_t *now_us = arg;
	struct head *h;
	bool gone = false;
	int r = head_open(&h, name, db);

	r = r ? r : build_sweep(h, db, *now_us, &gone);
	if (gone)
		head_forget(name);
	return r < 0 ? FAULT(r) : 0;
}

static void
on_tick(void *state, uint64_t now_us)
{
	static uint64_t swept_us;
	int r = databases_each(serve_databases(state), NULL, build_customer, &now_us);

	if (r == 0 && now_us - swept_us >= 3600 * CLOCK_US_PER_S) {
		swept_us = now_us;
		r = databases_each(serve_databases(state), NULL, sweep_customer, &now_us);
	}
	if (r < 0)
		log_fault(r, "build and sweep blocks");
}

static void
on_counters(void *state, struct buf *out)
{
	(void)state;
	buf_printf(out,
		"# HELP mainstay_hub_points_total Metric points stored.\n"
		"# TYPE mainstay_hub_points_total counter\n"
		"mainstay_hub_points_total %ju\n"
		"# HELP mainstay_hub_open_points Points that have no block yet.\n"
		"# TYPE mainstay_hub_open_points gauge\n"
		"mainstay_hub_open_points %ju\n",
		(uintmax_t)stored, (uintmax_t)head_points());
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static void
on_close(void *state)
{
	(void)state;
	head_forget_all();
	store_pace_forget();
}

static const struct route routes[] = {
	{ "GET", "/v1/fleet/sites/{}/metrics", ROUTE_ENGINEER, 0, metric_query_answer, 0 },
};

const struct serve_module store_module = {
	.name = "store",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.close = on_close,
	.tick = on_tick,
	.metrics = on_counters,
	.site = on_site,
};
