#include "telemetry/store/metric_query.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/serve/db.h"
#include "appliance/serve/stored.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/store/head.h"
#include "telemetry/store/metric_load.h"
#include "telemetry/store/store.h"

#define LOOKBACK_MS ((int64_t)METRIC_QUERY_LOOKBACK_S * 1000)

/* A series that the conditions hold for. */
struct chosen {
	int64_t id;
	size_t group; /* index; where each is for itself, its own */
	double bound; /* of a bucket */
	json_t *item; /* name, service, attributes, unit; owned */
};

struct run {
	const struct metric_query *q;
	struct head *head;
	struct db *db;
	struct chosen *chosen; /* owned, as all below */
	size_t n, cap;
	json_t **groups; /* labels */
	size_t n_groups;
	json_t *known;	 /* labels as text: index of the group */
	struct metric_samples samples;
	double *cells;	 /* n rows of n_steps */
	size_t n_steps, read, points;
	bool buckets;	 /* a quantile of histograms */
};

static void
run_done(struct run *u)
{
	for (size_t i = 0; i < u->n; i++)
		json_decref(u->chosen[i].item);
	for (size_t i = 0; i < u->n_groups; i++)
		json_decref(u->groups[i]);
	json_decref(u->known);
	free(u->groups);
	free(u->chosen);
	free(u->cells);
	metric_load_done(&u->samples);
}

static bool
is_single(const struct metric_query *q)
{
	return !q->has_by && q->fn <= METRIC_INCREASE;
}

/* --- which series --------------------------------------------------------------------------------------------- */
/* The group of these labels, made at first sight. */
static int
find_group(struct run *u, const struct chosen *c, size_t *ret)
{
	const char *name = json_text(c->item, "name"), *service = json_text(c->item, "service");
	const json_t *attributes = json_object_get(c->item, "attributes"), *known;
	SCOPED_JSON *labels = json_object();
	SCOPED(scope_free) char *text = NULL;
	json_t **more;
	char spare[64];

	for (size_t i = 0; i < u->q->n_by; i++) {
		const char *label = u->q->by[i];

		if (!(u->buckets && strcmp(label, "le") == 0) &&
			json_object_set_new(labels, label, json_string(matcher_label(label, name, service, attributes, spare))) < 0)
			return FAULT(-ENOMEM);
	}
	text = json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return FAULT(-ENOMEM);
	known = json_object_get(u->known, text);
	if (known) {
		*ret = (size_t)json_integer_value(known);
		return 0;
	}
	more = realloc(u->groups, (u->n_groups + 1) * sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	u->groups = more;
	if (json_object_set_new(u->known, text, json_integer((json_int_t)u->n_groups)) < 0)
		return FAULT(-ENOMEM);
	u->groups[u->n_groups] = STEAL(labels);
	*ret = u->n_groups++;
	return 0;
}

static int
choose(struct run *u, struct db_query *row, const char *site)
{
	SCOPED_JSON *attributes = NULL;
	struct chosen c = { .id = db_i64(row, 0) }, *more;
	char spare[64];
	int r = stored_json(&attributes, db_text(row, 3));

	if (r < 0)
		return FAULT(r);
	if (!matcher_holds(&u->q->match, db_text(row, 1), db_text(row, 2), attributes))
		return 0;
	if (u->n == METRIC_QUERY_SERIES_MAX)
		return REFUSE(REASON_TOO_LARGE, site, "more than %d series match; name them closer (service, match)",
			METRIC_QUERY_SERIES_MAX);
	if (u->n == u->cap) {
		size_t cap = u->cap ? 2 * u->cap : 64;

		more = realloc(u->chosen, cap * sizeof(*more));
		if (!more)
			return FAULT(-ENOMEM);
		u->chosen = more;
		u->cap = cap;
	}
	c.bound = strtod(matcher_label("le", "", "", attributes, spare), NULL);
	c.group = u->n;
	c.item = json_pack("{s:s, s:s, s:O, s:s}", "name", db_text(row, 1), "service", db_text(row, 2), "attributes", attributes,
		"unit", db_text(row, 4));
	if (!c.item)
		return FAULT(-ENOMEM);
	if (!is_single(u->q))
		r = find_group(u, &c, &c.group);
	u->chosen[u->n++] = c;
	return r;
}

static int
choose_all(struct run *u, const char *site)
{
	SCOPED(db_query_endp) struct db_query *row = NULL;
	int r;

	r = db_query(&row, u->db,
		"SELECT id, name, service, attributes, unit FROM series WHERE site = ?1 AND (?2 IS NULL OR name = ?2)"
		" AND (?3 IS NULL OR service = ?3) ORDER BY service, name, attributes",
		"ttt", site, u->q->name, u->q->service);
	while (r == 0 && (r = db_next(row)) == DB_ROW)
		r = choose(u, row, site);
	return r < 0 ? FAULT(r) : r;
}

/* --- what they say ---------------------------------------------------------------------------------------------- */
static int
read_series(struct run *u, const struct chosen *c, int64_t from_ms)
{
	int r = metric_load(&u->samples, u->head, u->db, c->id, from_ms, u->q->to_ms, u->q->raw_ms, METRIC_QUERY_READ_MAX - u->read);

	u->read += u->samples.n;
	if (r == REASON_TOO_LARGE)
		return REFUSE(REASON_TOO_LARGE, json_text(c->item, "name"),
			"this would read more than %d points; narrow the time or the series", METRIC_QUERY_READ_MAX);
	return FAULT(r);
}

static int
put_point(struct run *u, json_t *points, int64_t time_ms, double value)
{
	char time[CLOCK_TEXT_MAX];

	if (++u->points > METRIC_QUERY_POINTS_MAX)
		return REFUSE(REASON_TOO_LARGE, "points", "more than %d in one answer; narrow the time, or give a longer step",
			METRIC_QUERY_POINTS_MAX);
	return json_array_append_new(points,
		       json_pack("[s, o]", clock_format(time, (uint64_t)time_ms * 1000), store_value_json(value))) < 0
		? FAULT(-ENOMEM)
		: 0;
}

static int
put_cells(struct run *u, json_t *item, const double *values, json_t *items)
{
	json_t *points = json_array();
	int r = 0;

	if (json_object_set_new(item, "points", points) < 0 || json_array_append(items, item) < 0)
		return FAULT(-ENOMEM);
	for (size_t i = 0; r == 0 && i < u->n_steps; i++)
		if (!isnan(values[i]))
			r = put_point(u, points, u->q->from_ms + (int64_t)i * u->q->step_ms, values[i]);
	return r;
}

static int
put_raw(struct run *u, json_t *item, json_t *items)
{
	json_t *points = json_array();
	int r = 0;

	if (json_object_set_new(item, "points", points) < 0 || json_array_append(items, item) < 0)
		return FAULT(-ENOMEM);
	for (size_t i = 0; r == 0 && i < u->samples.n; i++)
		r = put_point(u, points, u->samples.items[i].time_ms, u->samples.items[i].last);
	return r;
}

static int
windows_of(struct run *u, const struct chosen *c, double *out)
{
	bool rise = u->q->fn == METRIC_RATE || u->q->fn == METRIC_INCREASE || u->buckets;
	int r = read_series(u, c, u->q->from_ms - LOOKBACK_MS);

	if (r == 0)
		metric_query_windows(out, u->n_steps, u->q, rise, &u->samples);
	return r;
}

/* Each for itself, a page of them. */
static int
run_single(struct run *u, json_t *items, uint64_t *ret_next)
{
	size_t at = u->q->offset < u->n ? (size_t)u->q->offset : u->n;
	size_t end = u->n - at > METRIC_QUERY_PAGE ? at + METRIC_QUERY_PAGE : u->n;
	int r = 0;

	for (; r == 0 && at < end; at++) {
		const struct chosen *c = &u->chosen[at];

		if (u->q->step_ms == 0) {
			r = read_series(u, c, u->q->from_ms);
			r = r ? r : put_raw(u, c->item, items);
		} else {
			r = windows_of(u, c, u->cells);
			r = r ? r : put_cells(u, c->item, u->cells, items);
		}
	}
	*ret_next = end < u->n ? end : 0;
	return r;
}

/* --- groups -------------------------------------------------------------------------------------------------------- */
/* What the series of a group say together at one step; n values, room for as many buckets. */
static double
together(const struct run *u, double *values, struct metric_bucket *buckets, size_t n)
{
	double sum = 0, min = NAN, max = NAN;

	if (n == 0)
		return NAN;
	if (u->buckets)
		return metric_query_histogram(u->q->quantile, buckets, n);
	for (size_t i = 0; i < n; i++) {
		sum += values[i];
		min = fmin(min, values[i]);
		max = fmax(max, values[i]);
	}
	switch (u->q->fn) {
	case METRIC_AVG:
		return sum / (double)n;
	case METRIC_MIN:
		return min;
	case METRIC_MAX:
		return max;
	case METRIC_COUNT:
		return (double)n;
	case METRIC_QUANTILE:
		return metric_query_quantile(u->q->quantile, values, n);
	default:
		return sum;
	}
}

/* Buckets of the same bound are one; returns how many there are. */
static size_t
add_bucket(struct metric_bucket *b, size_t n, double bound, double count)
{
	for (size_t i = 0; i < n; i++)
		if (b[i].bound == bound) {
			b[i].count += count;
			return n;
		}
	if (n == OTLP_BUCKETS_MAX || isnan(bound))
		return n;
	b[n] = (struct metric_bucket){ bound, count };
	return n + 1;
}

/* The rows of a group are from..to. */
static void
group_cells(const struct run *u, size_t from, size_t to, double *values, struct metric_bucket *buckets, double *out)
{
	for (size_t step = 0; step < u->n_steps; step++) {
		size_t n = 0;

		for (size_t i = from; i < to; i++) {
			double v = u->cells[i * u->n_steps + step];

			if (isnan(v))
				continue;
			if (u->buckets)
				n = add_bucket(buckets, n, u->chosen[i].bound, v);
			else
				values[n++] = v;
		}
		out[step] = together(u, values, buckets, n);
	}
}

static int
by_group(const void *pa, const void *pb)
{
	const struct chosen *a = pa, *b = pb;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static int
run_groups(struct run *u, json_t *items)
{
	SCOPED(scope_free) double *values = calloc(u->n + 1, sizeof(*values)), *out = calloc(u->n_steps, sizeof(*out));
	SCOPED(scope_free) struct metric_bucket *buckets = calloc(u->n + 1, sizeof(*buckets));
	int r = values && out && buckets ? 0 : -ENOMEM;

	if (u->n > 0)
		qsort(u->chosen, u->n, sizeof(*u->chosen), by_group);
	for (size_t i = 0; r == 0 && i < u->n; i++)
		r = windows_of(u, &u->chosen[i], u->cells + i * u->n_steps);
	for (size_t from = 0, to; r == 0 && from < u->n; from = to) {
		size_t group = u->chosen[from].group;
		SCOPED_JSON *item = json_pack("{s:O}", "labels", u->groups[group]);

		for (to = from; to < u->n && u->chosen[to].group == group; to++)
			;
		group_cells(u, from, to, values, buckets, out);
		r = item ? put_cells(u, item, out, items) : -ENOMEM;
	}
	return r < 0 ? FAULT(r) : r;
}

int
metric_query_run(const char *customer, struct db *db, const char *site, const struct metric_query *q, json_t *items,
	uint64_t *ret_next)
{
	SCOPED(run_done) struct run u = { .q = q, .db = db, .known = json_object() };
	size_t len = q->name ? strlen(q->name) : 0, rows;
	int r;

	*ret_next = 0;
	u.buckets = q->fn == METRIC_QUANTILE && len > 7 && strcmp(q->name + len - 7, "_bucket") == 0;
	if (q->step_ms > 0)
		u.n_steps = (size_t)((q->to_ms - q->from_ms + q->step_ms - 1) / q->step_ms);
	if (u.n_steps > METRIC_QUERY_STEPS_MAX)
		return REFUSE(REASON_TOO_LARGE, "step", "%zu steps, of at most %d; take a longer one", u.n_steps, METRIC_QUERY_STEPS_MAX);
	r = head_open(&u.head, customer, db);
	r = r ? r : choose_all(&u, site);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	rows = is_single(q) ? 1 : u.n;
	if (rows * u.n_steps > METRIC_QUERY_CELLS_MAX)
		return REFUSE(REASON_TOO_LARGE, "step", "%zu series with %zu steps each; take fewer, or a longer step", u.n, u.n_steps);
	u.cells = calloc(rows * u.n_steps + 1, sizeof(*u.cells));
	if (!u.cells)
		return FAULT(-ENOMEM);
	return is_single(q) ? run_single(&u, items, ret_next) : run_groups(&u, items);
}
