#include "telemetry/store/metric_query.h"

#include <math.h>

#include "telemetry/store/build.h"
#include "telemetry/store/head.h"
#include "telemetry/store/metric_load.h"
#include "telemetry/store/store.h"
#include "tests/fakes/hub_bench.h"

#define NOW_MS ((int64_t)(BENCH_NOW / 1000))

enum { SERIES = 6, POINTS_MAX = 3000 };

static const struct serve_module *const modules[] = { &store_module, NULL };
static uint64_t seed;

/* What a simple mind remembers of each series: every point that was committed, the last of a time standing. */
static struct kept {
	struct block_point p[POINTS_MAX];
	size_t n;
} kept[SERIES];

static int
setup(void **state)
{
	const char *text = getenv("SEED");

	(void)state;
	seed = text ? strtoull(text, NULL, 10) : 4711;
	print_message("SEED=%ju\n", (uintmax_t)seed);
	memset(kept, 0, sizeof(kept));
	bench_open(modules);
	return 0;
}

static uint64_t
roll(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 20) % below;
}

/* --- points in ------------------------------------------------------------------------------------------------ */
static struct otlp_text
text(const char *p)
{
	return (struct otlp_text){ p, strlen(p) };
}

struct series_of {
	const char *name, *service, *label, *value;
};

static struct otlp_point
point_of(const struct series_of *of, int64_t time_ms, double value)
{
	static struct otlp_attribute service, attribute;

	service = (struct otlp_attribute){ text("service.name"), { .kind = OTLP_VALUE_TEXT, .text = text(of->service) } };
	attribute = (struct otlp_attribute){ text(of->label), { .kind = OTLP_VALUE_TEXT, .text = text(of->value) } };
	return (struct otlp_point){ .name = text(of->name), .kind = OTLP_KIND_GAUGE, .time_ns = (uint64_t)time_ms * 1000000,
		.has_value = !isnan(value), .flags = isnan(value) ? OTLP_FLAG_NO_VALUE : 0, .real = value,
		.origin = { .resource = &service, .n_resource = 1 }, .attributes = &attribute, .n_attributes = 1 };
}

static struct store_batch *
begin(void)
{
	struct store_batch *b;

	assert_int_equal(db_begin(bench_db()), 0);
	assert_int_equal(store_begin(&b, "acme", bench_db(), "acme-1", ""), 0);
	return b;
}

static void
commit(struct store_batch *b)
{
	assert_int_equal(store_write(b), 0);
	assert_int_equal(db_commit(bench_db()), 0);
	store_end(b, true);
}

static void
put(const struct series_of *of, int64_t time_ms, double value)
{
	struct store_batch *b = begin();
	struct otlp_point p = point_of(of, time_ms, value);

	assert_int_equal(store_point(b, &p), 0);
	commit(b);
}

static void
build_all(void)
{
	struct head *h;

	assert_int_equal(head_open(&h, "acme", bench_db()), 0);
	for (uint32_t i = 0; i < head_sites(h); i++)
		assert_int_equal(build_site(h, i, bench_db()), 0);
}

/* --- questions ------------------------------------------------------------------------------------------------- */
static json_t *
ask(const char *query)
{
	char path[768];
	struct bench_call *c;

	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/metrics?%s", query);
	c = bench_ask(bench.engineer, "GET", path, NULL, 0);
	if (c->status != 200)
		fail_msg("%s: %d", query, c->status);
	return bench_json(c);
}

/* The points of item i as "SECONDS=VALUE ...", seconds from BENCH_NOW on; "" where there is no such item. */
static const char *
points(const json_t *doc, size_t i)
{
	static char out[4096];
	const json_t *item = json_array_get(json_object_get(doc, "items"), i), *p;
	size_t k;

	out[0] = '\0';
	json_array_foreach(json_object_get(item, "points"), k, p) {
		size_t len = strlen(out);
		uint64_t us;

		assert_int_equal(clock_parse(&us, json_string_value(json_array_get(p, 0))), 0);
		(void)snprintf(out + len, sizeof(out) - len, "%s%jd=%g", k ? " " : "", ((intmax_t)us - (intmax_t)BENCH_NOW) / 1000000,
			json_is_null(json_array_get(p, 1)) ? NAN : json_number_value(json_array_get(p, 1)));
	}
	return out;
}

static const struct series_of get = { "requests", "nginx", "verb", "GET" }, post = { "requests", "nginx", "verb", "POST" };

#define RANGE "&from=2027-01-15T07:50:00Z&to=2027-01-15T08:00:00Z" /* -600 s to BENCH_NOW */

static void
test_each_function_says_what_it_should(void **state)
{
	static const struct {
		const char *query, *first, *second;
	} rows[] = {
		{ "name=requests" RANGE, "-540=10 -480=16 -240=4 -60=8", "-540=1 -480=2 -420=nan -60=7" },
		{ "name=requests&match=verb=GET" RANGE, "-540=10 -480=16 -240=4 -60=8", "" },
		{ "name=requests&match=verb!=GET" RANGE, "-540=1 -480=2 -420=nan -60=7", "" },
		{ "name=requests&match=verb=~P.*" RANGE, "-540=1 -480=2 -420=nan -60=7", "" },
		{ "name=requests&match=verb!~P.*,service=nginx" RANGE, "-540=10 -480=16 -240=4 -60=8", "" },
		{ "name=requests&match=verb=%22GET%22&step=5m" RANGE, "-600=16 -300=8", "" },
		{ "match=__name__=~req.*,verb=POST&step=5m" RANGE, "-300=7", "" },
		{ "name=requests&fn=increase&step=10m" RANGE, "-600=14", "-600=1" },
		{ "name=requests&fn=rate&step=10m&by=service" RANGE, "-600=0.025", "" },
		{ "name=requests&fn=sum&step=10m" RANGE, "-600=15", "" },
		{ "name=requests&fn=sum&step=10m&by=verb" RANGE, "-600=8", "-600=7" },
		{ "name=requests&fn=avg&step=10m" RANGE, "-600=6.41667", "" },
		{ "name=requests&fn=min&step=10m" RANGE, "-600=1", "" },
		{ "name=requests&fn=max&step=10m" RANGE, "-600=16", "" },
		{ "name=requests&fn=count&step=5m" RANGE, "-600=1 -300=2", "" },
		{ "name=requests&fn=quantile(0.25)&step=10m" RANGE, "-600=7.25", "" },
		{ "service=nobody" RANGE, "", "" },
	};

	(void)state;
	for (int built = 0; built < 2; built++) {
		if (!built) {
			put(&get, NOW_MS - 540000, 10);
			put(&get, NOW_MS - 480000, 16);
			put(&get, NOW_MS - 240000, 4);
			put(&get, NOW_MS - 60000, 8);
			put(&post, NOW_MS - 540000, 1);
			put(&post, NOW_MS - 480000, 2);
			put(&post, NOW_MS - 420000, NAN);
			put(&post, NOW_MS - 60000, 7);
		} else {
			build_all();
			assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM point_batches"), 0);
			assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM blocks"), 2);
		}
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			SCOPED_JSON *doc = ask(rows[i].query);

			if (strcmp(points(doc, 0), rows[i].first) != 0)
				fail_msg("%s says %s", rows[i].query, points(doc, 0));
			if (strcmp(points(doc, 1), rows[i].second) != 0)
				fail_msg("%s says second %s", rows[i].query, points(doc, 1));
			if (json_array_size(json_object_get(doc, "items")) > 2)
				fail_msg("%s: more than two", rows[i].query);
		}
	}
}

static void
test_a_quantile_of_buckets(void **state)
{
	static const struct {
		double quantile, counts[3], is;
	} rows[] = { { 0.5, { 10, 20, 20 }, 1 }, { 0.75, { 10, 20, 20 }, 3 }, { 0.25, { 10, 20, 20 }, 0.5 }, { 1, { 10, 20, 30 }, 5 },
		{ 0.5, { 10, 5, 20 }, 1 }, { 0.5, { 0, 0, 0 }, NAN } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metric_bucket b[] = { { INFINITY, rows[i].counts[2] }, { 1, rows[i].counts[0] }, { 5, rows[i].counts[1] } };
		double v = metric_query_histogram(rows[i].quantile, b, 3);

		if (isnan(rows[i].is) ? !isnan(v) : fabs(v - rows[i].is) > 1e-9)
			fail_msg("row %zu: %g", i, v);
	}
}

static void
test_a_histogram_is_asked_for_its_quantile(void **state)
{
	static const double bounds[] = { 1, 5 };
	uint64_t counts[] = { 0, 0, 0 };
	SCOPED_JSON *doc = NULL;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct store_batch *b = begin();
		struct otlp_point p = point_of(&get, NOW_MS - 120000 + i * 60000, 0);

		p.kind = OTLP_KIND_HISTOGRAM;
		p.bucket_counts = counts;
		p.n_bucket_counts = 3;
		p.bounds = bounds;
		p.n_bounds = 2;
		assert_int_equal(store_point(b, &p), 0);
		commit(b);
		counts[0] = 10;
		counts[1] = 10;
	}
	doc = ask("name=requests_bucket&fn=quantile(0.75)&step=10m&by=verb,le" RANGE);
	assert_string_equal(points(doc, 0), "-600=3");
	assert_string_equal(points(doc, 1), "");
	assert_int_equal(json_object_size(json_object_get(json_array_get(json_object_get(doc, "items"), 0), "labels")), 1);
}

static void
test_a_table_holds_no_formula(void **state)
{
	static const struct series_of evil = { "=1+1", "a\"b", "x", "y" };
	struct bench_call *c;

	(void)state;
	put(&evil, NOW_MS - 60000, 1.5);
	put(&evil, NOW_MS - 50000, NAN);
	c = bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/metrics?match=x=y&format=csv", NULL, 0);
	assert_int_equal(c->status, 200);
	assert_string_equal(buf_text(&c->body), "name,service,labels,time,value\r\n"
						"\"'=1+1\",\"a\"\"b\",\"{\"\"x\"\":\"\"y\"\"}\",2027-01-15T07:59:00.000Z,1.5\r\n"
						"\"'=1+1\",\"a\"\"b\",\"{\"\"x\"\":\"\"y\"\"}\",2027-01-15T07:59:10.000Z,\r\n");
}

static void
test_questions_that_are_none_are_refused(void **state)
{
	static const char *const rows[] = { "", "name=a&from=x", "name=a&to=x", "name=a&step=x", "name=a&step=0", "name=a&fn=median",
		"name=a&fn=quantile(2)&step=1m", "name=a&fn=quantile(0.5&step=1m", "name=a&fn=rate", "name=a&by=b",
		"name=a&fn=sum&step=1m&by=b,", "name=a&fn=sum&step=1m&by=,b", "name=a&format=xml", "name=a&offset=x", "name=a&what=b",
		"name=a&from=2027-01-15T08:00:00Z&to=2027-01-15T08:00:00Z", "match=a", "match=a=b,", "match==b", "match=a=%22b", "match=a=~(",
		"match=a=%22b%22c", "match=a=b,a=b,a=b,a=b,a=b,a=b,a=b,a=b,a=b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[256];
		struct bench_call *c;

		(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/metrics?%s", rows[i]);
		c = bench_ask(bench.engineer, "GET", path, NULL, 0);
		if (c->status != 400)
			fail_msg("%s: %d", rows[i], c->status);
		bench_refused(c, 400, REASON_MALFORMED);
	}
}

static void
too_large(const char *query)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/metrics?%s", query);
	bench_refused(bench_ask(bench.engineer, "GET", path, NULL, 0), 422, REASON_TOO_LARGE);
}

static void
test_an_answer_has_limits(void **state)
{
	SCOPED_JSON *doc = NULL, *rest = NULL;

	(void)state;
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO series(site, service, name, attributes, unit, last_time)"
				 " SELECT 'acme-1', 's', 'm', '{\"i\":' || i || '}', '', 0 FROM n",
				 "i", (int64_t)METRIC_QUERY_SERIES_MAX),
		0);
	doc = ask("name=m");
	assert_int_equal(json_array_size(json_object_get(doc, "items")), METRIC_QUERY_PAGE);
	assert_int_equal(json_integer_value(json_object_get(doc, "next")), METRIC_QUERY_PAGE);
	rest = ask("name=m&offset=1900");
	assert_int_equal(json_array_size(json_object_get(rest, "items")), 100);
	assert_null(json_object_get(rest, "next"));
	too_large("name=m&fn=sum&step=1s&from=2027-01-15T07:40:00Z"); /* 2,000 series of 1,200 steps */
	too_large("name=none&fn=sum&step=1s&from=2027-01-15T04:00:00Z"); /* 14,400 steps, of nothing */
	assert_int_equal(db_exec(bench_db(),
				 "INSERT INTO series(site, service, name, attributes, unit, last_time) VALUES('acme-1', 's', 'm', '{}', '', 0)",
				 ""),
		0);
	too_large("name=m");
}

static void
test_a_long_answer_is_refused_or_stepped(void **state)
{
	struct store_batch *b = begin();
	SCOPED_JSON *doc = NULL;

	(void)state;
	for (size_t i = 0; i <= METRIC_QUERY_POINTS_MAX; i++) {
		struct otlp_point p = point_of(&get, NOW_MS - 10 * (int64_t)i - 1, 1);

		if (store_point(b, &p) != 0)
			fail();
	}
	commit(b);
	too_large("name=requests");
	doc = ask("name=requests&step=1h");
	assert_string_equal(points(doc, 0), "-3600=1");
}

static void
test_reading_has_a_limit(void **state)
{
	struct store_batch *b = begin();

	(void)state;
	for (int64_t i = 0; i < BLOCK_POINTS; i++) {
		struct otlp_point p = point_of(&get, NOW_MS - 10000 - i, 1);

		assert_int_equal(store_point(b, &p), 0);
	}
	commit(b);
	build_all();
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO blocks(series, time_from, time_to, points, body)"
				 " SELECT series, time_from, time_to, points, body FROM blocks, n",
				 "i", (int64_t)(METRIC_QUERY_READ_MAX / BLOCK_POINTS)),
		0);
	too_large("name=requests&step=1h");
}

static void
test_a_table_has_a_limit(void **state)
{
	static char wide[4001];
	const struct series_of of = { "requests", "nginx", "wide", wide };
	struct store_batch *b = begin();

	(void)state;
	memset(wide, 'w', sizeof(wide) - 1);
	for (int64_t i = 0; i < 17000; i++) {
		struct otlp_point p = point_of(&of, NOW_MS - 10000 - i, 1);

		assert_int_equal(store_point(b, &p), 0);
	}
	commit(b);
	too_large("name=requests&format=csv");
}

/* --- against a simple mind --------------------------------------------------------------------------------------------- */
static void
remember(struct kept *k, int64_t time_ms, double value)
{
	size_t at = 0;

	while (at < k->n && k->p[at].time_ms < time_ms)
		at++;
	if (at == k->n || k->p[at].time_ms != time_ms) {
		assert_true(k->n < POINTS_MAX);
		memmove(&k->p[at + 1], &k->p[at], (k->n - at) * sizeof(*k->p));
		k->n++;
	}
	k->p[at] = (struct block_point){ time_ms, value };
}

/* One window of one series, as the header says it, looking at every point each time. */
static double
naive(const struct kept *k, enum metric_fn fn, int64_t begin_ms, int64_t end_ms)
{
	double sum = 0, n = 0, min = NAN, max = NAN, rise = 0, last = NAN;
	bool rose = false;

	for (size_t i = 0; i < k->n; i++) {
		int64_t t = k->p[i].time_ms;
		double v = k->p[i].value;

		if (t >= end_ms)
			break;
		if (t >= end_ms - METRIC_QUERY_LOOKBACK_S * 1000 || t >= begin_ms)
			last = v;
		if (t < begin_ms)
			continue;
		if (i > 0 && k->p[i - 1].time_ms >= begin_ms - METRIC_QUERY_LOOKBACK_S * 1000 && !isnan(v) && !isnan(k->p[i - 1].value)) {
			rise += v >= k->p[i - 1].value ? v - k->p[i - 1].value : v;
			rose = true;
		}
		if (isnan(v))
			continue;
		sum += v;
		n++;
		min = isnan(min) || v < min ? v : min;
		max = isnan(max) || v > max ? v : max;
	}
	switch (fn) {
	case METRIC_RATE:
		return rose ? rise / ((double)(end_ms - begin_ms) / 1000) : NAN;
	case METRIC_INCREASE:
		return rose ? rise : NAN;
	case METRIC_AVG:
		return n > 0 ? sum / n : NAN;
	case METRIC_MIN:
		return min;
	case METRIC_MAX:
		return max;
	default:
		return last;
	}
}

static double
naive_group(enum metric_fn fn, int64_t begin_ms, int64_t end_ms)
{
	double sum = 0, n = 0, min = NAN, max = NAN;

	for (size_t i = 0; i < SERIES; i++) {
		double v = naive(&kept[i], fn, begin_ms, end_ms);

		if (isnan(v))
			continue;
		sum += v;
		n++;
		min = isnan(min) || v < min ? v : min;
		max = isnan(max) || v > max ? v : max;
	}
	if (n == 0)
		return NAN;
	return fn == METRIC_AVG ? sum / n : fn == METRIC_MIN ? min : fn == METRIC_MAX ? max : fn == METRIC_COUNT ? n : sum;
}

static void
check_query(int64_t from_ms, int64_t to_ms, int64_t step_s, enum metric_fn fn)
{
	static const char *const names[] = { [METRIC_RATE] = "rate", [METRIC_INCREASE] = "increase", [METRIC_SUM] = "sum",
		[METRIC_AVG] = "avg", [METRIC_MIN] = "min", [METRIC_MAX] = "max", [METRIC_COUNT] = "count" };
	char query[256], from[CLOCK_TEXT_MAX], to[CLOCK_TEXT_MAX];
	SCOPED_JSON *doc = NULL;
	const json_t *list;
	size_t at = 0;

	(void)snprintf(query, sizeof(query), "name=m&fn=%s&step=%jds&by=&from=%s&to=%s", names[fn], (intmax_t)step_s,
		clock_format(from, (uint64_t)from_ms * 1000), clock_format(to, (uint64_t)to_ms * 1000));
	doc = ask(query);
	list = json_object_get(json_array_get(json_object_get(doc, "items"), 0), "points");
	for (int64_t t = from_ms; t < to_ms; t += step_s * 1000) {
		int64_t end_ms = t + step_s * 1000 < to_ms ? t + step_s * 1000 : to_ms;
		double is = naive_group(fn, t, end_ms), said = NAN;
		const json_t *p = json_array_get(list, at);
		uint64_t us = 0;

		if (p && clock_parse(&us, json_string_value(json_array_get(p, 0))) == 0 && us / 1000 == (uint64_t)t) {
			said = json_number_value(json_array_get(p, 1));
			at++;
		}
		/* A rate is of the whole step, also where the range ends within it. */
		if (fn == METRIC_RATE)
			is *= (double)(end_ms - t) / (double)(step_s * 1000);
		if (isnan(is) ? !isnan(said) : !(fabs(is - said) <= 1e-9 * (1 + fabs(is))))
			fail_msg("SEED %ju: %s, at %jd: %g, said %g", (uintmax_t)seed, query, (intmax_t)(t - NOW_MS), is, said);
	}
	assert_int_equal(at, json_array_size(list));
}

/* Late, double, missing and equal points; built or not; the hub's memory thrown away in between. */
static void
test_a_simple_mind_says_the_same(void **state)
{
	static const struct series_of of[SERIES] = { { "m", "a", "i", "0" }, { "m", "a", "i", "1" }, { "m", "a", "i", "2" },
		{ "m", "b", "i", "3" }, { "m", "b", "i", "4" }, { "m", "c", "i", "5" } };

	(void)state;
	for (unsigned turn = 0; turn < 60; turn++) {
		struct store_batch *b = begin();
		size_t n = 1 + roll(60);

		for (size_t i = 0; i < n; i++) {
			size_t s = roll(SERIES);
			int64_t t = NOW_MS - (int64_t)roll(roll(4) ? 3600 : 600) * 1000;
			double v = roll(12) == 0 ? NAN : roll(2) ? (double)roll(100) : (double)roll(1000) / 8;
			struct otlp_point p = point_of(&of[s], t, v);

			assert_int_equal(store_point(b, &p), 0);
			remember(&kept[s], t, v);
		}
		commit(b);
		if (roll(5) == 0)
			build_all();
		if (roll(4) == 0)
			head_forget_all();
		check_query(NOW_MS - (int64_t)roll(4000) * 1000 - 5000, NOW_MS - (int64_t)roll(4) * 1000, 1 + (int64_t)roll(700),
			(enum metric_fn)(METRIC_RATE + roll(7)));
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_function_says_what_it_should),
		TEST(test_a_quantile_of_buckets),
		TEST(test_a_histogram_is_asked_for_its_quantile),
		TEST(test_a_table_holds_no_formula),
		TEST(test_questions_that_are_none_are_refused),
		TEST(test_an_answer_has_limits),
		TEST(test_a_long_answer_is_refused_or_stepped),
		TEST(test_reading_has_a_limit),
		TEST(test_a_table_has_a_limit),
		TEST(test_a_simple_mind_says_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
