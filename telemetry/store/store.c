#include "telemetry/store/store.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/registry.h"
#include "telemetry/otlp/otlp_decode.h"

enum {
	NAME_BYTES = 256,
	UNIT_MAX = 64,
	FUTURE_S = 24 * 3600, /* a point may claim to be so far ahead of the hub's clock */
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
};
static const struct db_migration customer_migration = { "telemetry/store", customer_steps,
	ARRAY_LEN(customer_steps) };

static uint64_t stored;

/* A series as its point names it. */
struct series {
	char name[NAME_BYTES + 8];
	char service[sizeof(STORE_VIA_OTLP) + NAME_BYTES];
	char unit[UNIT_MAX];
	bool via_other;
	struct buf attributes; /* canonical JSON object */
};

static void
series_done(struct series *s)
{
	buf_done(&s->attributes);
}

static int
name_series(struct series *s, const char *via, const struct otlp_point *point)
{
	const struct otlp_value *service =
		otlp_decode_find(point->origin.resource, point->origin.n_resource, "service.name");
	size_t head = strlen(via);

	if (point->name.len == 0 || point->name.len >= NAME_BYTES ||
		!otlp_decode_copy(s->name, sizeof(s->name), &point->name))
		return REFUSE(REASON_MALFORMED, "metric", "its name is empty or too long");
	if (!otlp_decode_copy(s->unit, sizeof(s->unit), &point->unit))
		return REFUSE(REASON_MALFORMED, s->name, "its unit is too long");
	s->via_other = head > 0;
	memcpy(s->service, via, head + 1);
	if (service &&
		(service->kind != OTLP_VALUE_TEXT ||
			!otlp_decode_copy(s->service + head, NAME_BYTES, &service->text)))
		return REFUSE(REASON_MALFORMED, s->name, "service.name is no short text");
	s->attributes = BUF_MAX(STORE_LABELS_MAX);
	otlp_decode_json_map(&s->attributes, point->attributes, point->n_attributes);
	if (buf_error(&s->attributes) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&s->attributes))
		return REFUSE(REASON_TOO_LARGE, s->name, "its attributes take more than %d bytes",
			STORE_LABELS_MAX);
	return 0;
}

static int
make_series(struct db *db, const char *site, const struct series *s, int64_t *ret_id)
{
	int64_t n;
	int r;

	r = db_number(db, &n, 0,
		"SELECT count(*) FROM series WHERE site = ?1 AND (instr(service, '" STORE_VIA_OTLP
		"') = 1) = ?2",
		"ti", site, (int64_t)s->via_other);
	if (r == 0 && n >= STORE_SERIES_MAX)
		return REFUSE(REASON_TOO_LARGE, site, "it has %d series already", STORE_SERIES_MAX);
	if (r == 0)
		r = db_exec(db,
			"INSERT INTO series(site, service, name, attributes, unit, last_time)"
			" VALUES(?1, ?2, ?3, ?4, ?5, 0)",
			"ttttt", site, s->service, s->name, buf_text(&s->attributes), s->unit);
	if (r < 0)
		return FAULT(r);
	*ret_id = db_last_id(db);
	return 0;
}

static int
put_value(struct db *db, const char *site, const struct series *s, int64_t time_us, double value)
{
	int64_t id;
	int r;

	r = db_number(db, &id, 0,
		"SELECT id FROM series WHERE site = ?1 AND name = ?2 AND service = ?3 AND "
		"attributes = ?4",
		"tttt", site, s->name, s->service, buf_text(&s->attributes));
	if (r == 0 && id == 0)
		r = make_series(db, site, s, &id);
	/* SQLite keeps NaN as null, which is what "no value" is here. */
	if (r == 0)
		r = db_exec(db,
			"INSERT OR REPLACE INTO points(series, time, value) VALUES(?1, ?2, ?3)",
			"iir", id, time_us, value);
	if (r == 0)
		r = db_exec(db,
			"UPDATE series SET last_time = ?2, last_value = ?3 WHERE id = ?1 AND "
			"last_time <= ?2",
			"iir", id, time_us, value);
	if (r == 0)
		stored++;
	return r < 0 ? FAULT(r) : r;
}

/* Histograms and summaries are kept as what is asked of them most: how many, and how much. */
static int
put_aggregate(struct db *db, const char *site, struct series *s, int64_t time_us,
	const struct otlp_point *point)
{
	size_t len = strlen(s->name);
	int r;

	(void)snprintf(s->name + len, sizeof(s->name) - len, "_count");
	r = put_value(db, site, s, time_us, (double)point->count);
	if (r != 0 || !point->has_sum)
		return r;
	(void)snprintf(s->name + len, sizeof(s->name) - len, "_sum");
	return put_value(db, site, s, time_us, point->sum);
}

int
store_point(struct db *customer, const char *site, const char *via, const struct otlp_point *point)
{
	SCOPED(series_done) struct series s = { 0 };
	uint64_t time_us = point->time_ns / 1000;
	int r;

	r = name_series(&s, via, point);
	if (r != 0)
		return r;
	if (time_us == 0 || time_us > clock_now_us() + FUTURE_S * CLOCK_US_PER_S)
		return REFUSE(REASON_MALFORMED, s.name, "its time is none, or lies in the future");
	if (point->kind != OTLP_KIND_GAUGE && point->kind != OTLP_KIND_SUM)
		return put_aggregate(customer, site, &s, (int64_t)time_us, point);
	if (!point->has_value && !(point->flags & OTLP_FLAG_NO_VALUE))
		return REFUSE(REASON_MALFORMED, s.name, "a point without a value");
	return put_value(customer, site, &s, (int64_t)time_us,
		point->has_value && !(point->flags & OTLP_FLAG_NO_VALUE) ? point->real : NAN);
}

/* --- reading ------------------------------------------------------------------------------------------ */
static json_t *
value_json(struct db_query *q, int column)
{
	double v = db_real(q, column);

	if (db_null(q, column))
		return json_null();
	if (isinf(v))
		return json_string(v > 0 ? "Infinity" : "-Infinity");
	/* A whole number stays one, as far as a double holds them. */
	if (v == trunc(v) && fabs(v) < 9007199254740992.0)
		return json_integer((json_int_t)v);
	return json_real(v);
}

static json_t *
attributes_json(struct db_query *q, int column)
{
	json_t *obj = json_loads(db_text(q, column), 0, NULL);

	return obj ? obj : json_object();
}

int
store_latest(struct db *customer, const char *site, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, customer,
		"SELECT name, service, attributes, unit, last_value, last_time FROM series"
		" WHERE site = ?1 AND last_time > 0 ORDER BY service, name, attributes",
		"t", site);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *item = json_pack("{s:s, s:s, s:o, s:s, s:o}", "name", db_text(q, 0),
			"service", db_text(q, 1), "attributes", attributes_json(q, 2), "unit",
			db_text(q, 3), "value", value_json(q, 4));

		r = item ? json_put_time(item, "time", (uint64_t)db_i64(q, 5)) : -ENOMEM;
		if (json_array_append_new(items, item) < 0)
			r = -ENOMEM;
	}
	return r < 0 ? FAULT(r) : 0;
}

static int
append_points(struct db *customer, int64_t series, json_t *points)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	char time[CLOCK_TEXT_MAX];
	int r;

	r = db_query(&q, customer,
		"SELECT time, value FROM (SELECT time, value FROM points WHERE series = ?1"
		" ORDER BY time DESC LIMIT ?2) ORDER BY time",
		"ii", series, (int64_t)STORE_HISTORY);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *point = json_pack("[s, o]", clock_format(time, (uint64_t)db_i64(q, 0)),
			value_json(q, 1));

		r = json_array_append_new(points, point) < 0 ? -ENOMEM : 0;
	}
	return r < 0 ? FAULT(r) : 0;
}

int
store_history(struct db *customer, const char *site, const char *name, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, customer,
		"SELECT id, service, attributes FROM series WHERE site = ?1 AND name = ?2 ORDER BY "
		"service, attributes",
		"tt", site, name);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *points = json_array();
		json_t *item = json_pack("{s:s, s:s, s:o, s:o}", "name", name, "service",
			db_text(q, 1), "attributes", attributes_json(q, 2), "points", points);

		if (!item || json_array_append_new(items, item) < 0)
			return FAULT(-ENOMEM);
		r = append_points(customer, db_i64(q, 0), points);
	}
	return r < 0 ? FAULT(r) : 0;
}

uint64_t
store_count(void)
{
	return stored;
}

/* --- module ------------------------------------------------------------------------------------------- */
static int
on_metrics(struct http_call *call, void *state)
{
	static const char *const known[] = { "name", NULL };
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	struct serve *serve = state;
	SCOPED_JSON *items = json_array();
	const char *name = query_get(&call->params, "name");
	struct db *db;
	int r;

	r = query_only(&call->params, known);
	if (r == 0 && !name)
		return REFUSE(REASON_MALFORMED, "name", "says which metric; it is missing");
	r = r ? r : serve_find_site(serve, &call->who, call->segments[0], &site, &db);
	r = r ? r : store_history(db, site.site, name, items);
	return r ? r : serve_reply_json(call, 200, json_pack("{s:O}", "items", items));
}

static int
on_site(void *state, const struct registry_site *site, struct db *customer, json_t *page)
{
	SCOPED_JSON *items = json_array();
	int r;

	(void)state;
	r = store_latest(customer, site->site, items);
	if (r == 0 && json_object_set(page, "metrics", items) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

static int
sweep(const char *name, struct db *db, void *arg)
{
	const int64_t *before_us = arg;
	int r;

	(void)name;
	r = db_exec(db, "DELETE FROM points WHERE time < ?1", "i", *before_us);
	if (r == 0)
		r = db_exec(db, "DELETE FROM series WHERE last_time < ?1", "i", *before_us);
	return r < 0 ? FAULT(r) : 0;
}

static void
on_tick(void *state, uint64_t now_us)
{
	static uint64_t last_us;
	int64_t before_us = (int64_t)(now_us - STORE_KEEP_S * CLOCK_US_PER_S);
	int r;

	if (now_us - last_us < 3600 * CLOCK_US_PER_S)
		return;
	last_us = now_us;
	r = databases_each(serve_databases(state), NULL, sweep, &before_us);
	if (r < 0)
		log_fault(r, "sweep points");
}

static void
on_counters(void *state, struct buf *out)
{
	(void)state;
	buf_printf(out,
		"# HELP mainstay_hub_points_total Metric points stored.\n"
		"# TYPE mainstay_hub_points_total counter\n"
		"mainstay_hub_points_total %ju\n",
		(uintmax_t)stored);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/v1/fleet/sites/{}/metrics", ROUTE_ENGINEER, 0, on_metrics, 0 },
};

const struct serve_module store_module = {
	.name = "store",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.tick = on_tick,
	.metrics = on_counters,
	.site = on_site,
};
