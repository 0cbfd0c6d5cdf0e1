#include "telemetry/store/store.h"

#include <math.h>

#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/store/head.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &store_module, NULL };

static char long_text[STORE_LABELS_MAX + 1];

static int
setup(void **state)
{
	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	bench_open(modules);
	return 0;
}

/* One point in a batch of its own. */
static int
take(const char *via, const struct otlp_point *p)
{
	struct store_batch *b;
	int r;

	assert_int_equal(db_begin(bench_db()), 0);
	assert_int_equal(store_begin(&b, "acme", bench_db(), "acme-1", via), 0);
	r = store_point(b, p);
	assert_int_equal(store_write(b), 0);
	assert_int_equal(db_commit(bench_db()), 0);
	store_end(b, true);
	return r;
}

/* The newest value of a series; NaN where it says there is none, -1 where there is no such series. */
static double
newest(const char *name, const char *service)
{
	SCOPED_JSON *items = json_array();
	const json_t *item;
	double v = -1;
	size_t i;

	assert_int_equal(store_latest("acme", bench_db(), "acme-1", items), 0);
	json_array_foreach(items, i, item)
		if (strcmp(json_text(item, "name"), name) == 0 && strcmp(json_text(item, "service"), service) == 0)
			v = json_is_null(json_object_get(item, "value")) ? NAN : json_number_value(json_object_get(item, "value"));
	return v;
}

static struct otlp_text
text(const char *p)
{
	return (struct otlp_text){ p, strlen(p) };
}

static struct otlp_text
of_len(size_t len)
{
	return (struct otlp_text){ long_text, len };
}

static struct otlp_value
value(struct otlp_text t)
{
	return (struct otlp_value){ .kind = OTLP_VALUE_TEXT, .text = t };
}

static struct otlp_point
gauge(void)
{
	return (struct otlp_point){ .name = text("up"),
		.unit = text("1"),
		.kind = OTLP_KIND_GAUGE,
		.time_ns = BENCH_NOW * 1000,
		.has_value = true,
		.real = 1 };
}

static void
no_name(struct otlp_point *p)
{
	p->name = of_len(0);
}

static void
long_name(struct otlp_point *p)
{
	p->name = of_len(256);
}

static void
name_with_nul(struct otlp_point *p)
{
	p->name = (struct otlp_text){ "a\0b", 3 };
}

static void
long_unit(struct otlp_point *p)
{
	p->unit = of_len(64);
}

static void
service_of(struct otlp_point *p, struct otlp_value v)
{
	static struct otlp_attribute resource;

	resource = (struct otlp_attribute){ text("service.name"), v };
	p->origin.resource = &resource;
	p->origin.n_resource = 1;
}

static void
long_service(struct otlp_point *p)
{
	service_of(p, value(of_len(256)));
}

static void
numbered_service(struct otlp_point *p)
{
	service_of(p, (struct otlp_value){ .kind = OTLP_VALUE_INT, .whole = 7 });
}

static void
long_attributes(struct otlp_point *p)
{
	static struct otlp_attribute one;

	one = (struct otlp_attribute){ text("a"), value(of_len(STORE_LABELS_MAX)) };
	p->attributes = &one;
	p->n_attributes = 1;
}

static void
no_time(struct otlp_point *p)
{
	p->time_ns = 999;
}

static void
next_week(struct otlp_point *p)
{
	p->time_ns += UINT64_C(7) * 86400 * 1000000000;
}

static void
last_month(struct otlp_point *p)
{
	p->time_ns -= UINT64_C(16) * 86400 * 1000000000;
}

static void
too_many_attributes(struct otlp_point *p)
{
	static struct otlp_attribute all[OTLP_ATTRIBUTES_MAX];
	static const double bound = 1;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = (struct otlp_attribute){ text("a"), value(of_len(1)) };
	p->kind = OTLP_KIND_SUMMARY;
	p->attributes = all;
	p->n_attributes = ARRAY_LEN(all);
	p->bounds = p->values = &bound;
	p->n_bounds = 1;
}

static void
no_value(struct otlp_point *p)
{
	p->has_value = false;
}

static void
test_a_point_that_cannot_be_stored_leaves_nothing(void **state)
{
	static const struct {
		const char *what;
		void (*spoil)(struct otlp_point *p);
		enum reason reason;
	} rows[] = {
		{ "a metric without a name", no_name, REASON_MALFORMED },
		{ "a name of 256 bytes", long_name, REASON_MALFORMED },
		{ "a name with a NUL in it", name_with_nul, REASON_MALFORMED },
		{ "a unit of 64 bytes", long_unit, REASON_MALFORMED },
		{ "a service whose name is too long", long_service, REASON_MALFORMED },
		{ "a service whose name is a number", numbered_service, REASON_MALFORMED },
		{ "attributes beyond their maximum", long_attributes, REASON_TOO_LARGE },
		{ "a point of no time", no_time, REASON_MALFORMED },
		{ "a point of next week", next_week, REASON_MALFORMED },
		{ "a point older than what is kept", last_month, REASON_EXPIRED },
		{ "no room for the attribute of a quantile", too_many_attributes, REASON_TOO_LARGE },
		{ "a gauge without a value", no_value, REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct otlp_point p = gauge();
		uint64_t before = refuse_count(rows[i].reason);
		int r;

		rows[i].spoil(&p);
		r = take("", &p);
		if (r != (int)rows[i].reason || refuse_last()->reason != rows[i].reason ||
			refuse_count(rows[i].reason) != before + 1)
			fail_msg("%s: %d", rows[i].what, r);
	}
	/* The count of the one that has no room for its quantiles was a series. */
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series WHERE name <> 'up_count'"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM point_batches"), 0);
}

static void
test_a_histogram_is_its_count_sum_and_buckets(void **state)
{
	static const uint64_t counts[] = { 1, 0, 2 };
	static const double bounds[] = { 0.1, 5 };
	SCOPED_JSON *items = json_array();
	struct otlp_point p = gauge();

	(void)state;
	p.kind = OTLP_KIND_HISTOGRAM;
	p.count = 3;
	p.has_sum = true;
	p.sum = 4.5;
	p.bucket_counts = counts;
	p.n_bucket_counts = 3;
	p.bounds = bounds;
	p.n_bounds = 2;
	assert_int_equal(take("", &p), 0);
	assert_true(newest("up_count", "") == 3);
	assert_true(newest("up_sum", "") == 4.5);
	assert_int_equal(store_latest("acme", bench_db(), "acme-1", items), 0);
	assert_int_equal(json_array_size(items), 5);
	/* By their attributes' text: "+Inf", "0.1", "5". */
	for (size_t i = 0; i < 3; i++) {
		static const struct {
			const char *le;
			int value;
		} rows[] = { { "+Inf", 3 }, { "0.1", 1 }, { "5", 1 } };
		const json_t *item = json_array_get(items, i);

		assert_string_equal(json_text(item, "name"), "up_bucket");
		assert_string_equal(json_text(json_object_get(item, "attributes"), "le"), rows[i].le);
		assert_int_equal(json_integer_value(json_object_get(item, "value")), rows[i].value);
	}
}

static void
test_a_summary_is_its_count_sum_and_quantiles(void **state)
{
	static const double quantiles[] = { 0.5, 0.99 }, values[] = { 7, 9 };
	struct otlp_point p = gauge();

	(void)state;
	p.kind = OTLP_KIND_SUMMARY;
	p.count = 3;
	p.has_sum = true;
	p.sum = 4.5;
	p.bounds = quantiles;
	p.values = values;
	p.n_bounds = 2;
	assert_int_equal(take("", &p), 0);
	assert_true(newest("up_count", "") == 3);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series WHERE name = 'up'"), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series WHERE attributes = '{\"quantile\":\"0.99\"}'"), 1);
}

static void
test_a_stale_series_has_no_value(void **state)
{
	struct otlp_point p = gauge();

	(void)state;
	assert_int_equal(take("", &p), 0);
	assert_true(newest("up", "") == 1);
	p.has_value = false;
	p.flags = OTLP_FLAG_NO_VALUE;
	p.time_ns += 1000000;
	assert_int_equal(take("", &p), 0);
	assert_true(isnan(newest("up", "")));
}

static void
test_other_senders_take_no_room_and_replace_nothing(void **state)
{
	struct otlp_point p = gauge();
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	(void)state;
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n "
				 "WHERE i < ?1)"
				 " INSERT INTO series(site, service, name, attributes, unit, "
				 "last_time)"
				 " SELECT 'acme-1', '" STORE_VIA_OTLP
				 "', 'm' || i, '{}', '', 0 FROM n",
				 "i", (int64_t)STORE_SERIES_MAX),
		0);
	assert_int_equal(take("", &p), 0);
	p.real = 9;
	assert_int_equal(take(STORE_VIA_OTLP, &p), 0);
	assert_true(newest("up", "") == 1);
	assert_true(newest("up", STORE_VIA_OTLP) == 9);
	p.name = text("more");
	assert_int_equal(take(STORE_VIA_OTLP, &p), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_int_equal(take("", &p), 0);
}

static void
test_what_is_not_committed_is_not_remembered(void **state)
{
	struct otlp_point p = gauge();
	struct store_batch *b;

	(void)state;
	assert_int_equal(db_begin(bench_db()), 0);
	assert_int_equal(store_begin(&b, "acme", bench_db(), "acme-1", ""), 0);
	assert_int_equal(store_point(b, &p), 0);
	assert_int_equal(store_write(b), 0);
	db_rollback(bench_db());
	store_end(b, false);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 0);
	assert_true(newest("up", "") == -1);
	/* Its series is made again, not taken from memory. */
	assert_int_equal(take("", &p), 0);
	assert_true(newest("up", "") == 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 1);
}

/* A number by its bytes alone, in a batch of its own. */
static int
take_number(const char *via, const struct otlp_point *p)
{
	struct store_batch *b;
	int r;

	assert_int_equal(db_begin(bench_db()), 0);
	assert_int_equal(store_begin(&b, "acme", bench_db(), "acme-1", via), 0);
	r = store_number(b, p);
	assert_int_equal(store_write(b), 0);
	assert_int_equal(db_commit(bench_db()), 0);
	store_end(b, true);
	return r;
}

static void
test_a_number_that_was_met_is_known_by_its_bytes(void **state)
{
	const struct otlp_attribute service = { text("service.name"), value(text("redis")) }, other = { text("k"), value(text("v")) };
	struct otlp_point p = gauge(), q;

	(void)state;
	p.metric = 1;
	p.is_run = true;
	p.run = text("encoded");
	p.attributes = &other;
	p.n_attributes = 1;
	assert_int_equal(take_number("", &p), OTLP_DECODE_WHOLE);
	assert_int_equal(take("", &p), 0);
	p.real = 2;
	assert_int_equal(take_number("", &p), 0);
	assert_true(newest("up", "") == 2);
	/* Whatever tells it from that one makes it another. */
	q = p;
	q.run = text("encoder");
	assert_int_equal(take_number("", &q), OTLP_DECODE_WHOLE);
	q = p;
	q.name = text("down");
	assert_int_equal(take_number("", &q), OTLP_DECODE_WHOLE);
	q = p;
	q.origin.resource = &service;
	q.origin.n_resource = 1;
	assert_int_equal(take_number("", &q), OTLP_DECODE_WHOLE);
	assert_int_equal(take_number(STORE_VIA_OTLP, &p), OTLP_DECODE_WHOLE);
	/* What holds for a point holds for it. */
	q = p;
	q.time_ns = 1;
	assert_int_equal(take_number("", &q), REASON_MALFORMED);
	q.time_ns = 1000000000;
	assert_int_equal(take_number("", &q), REASON_EXPIRED);
	q = p;
	q.has_value = false;
	assert_int_equal(take_number("", &q), REASON_MALFORMED);
	q.flags = OTLP_FLAG_NO_VALUE;
	assert_int_equal(take_number("", &q), 0);
	assert_true(isnan(newest("up", "")));
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 1);
}

/* --- by bytes or read whole: the same ------------------------------------------------------------------------------- */
static uint64_t seed;

static unsigned
roll(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((seed >> 33) % below);
}

static int
on_point(const struct otlp_point *p, void *arg)
{
	return store_point(arg, p);
}

static int
on_number(const struct otlp_point *p, void *arg)
{
	return store_number(arg, p);
}

static void
take_body(const char *site, const struct buf *body, bool by_bytes, bool commit)
{
	static const struct otlp_decode_ops whole = { .point = on_point }, both = { .point = on_point, .number = on_number };
	struct otlp_tally tally;
	struct store_batch *b;

	assert_int_equal(db_begin(bench_db()), 0);
	assert_int_equal(store_begin(&b, "acme", bench_db(), site, ""), 0);
	assert_int_equal(otlp_decode_metrics(body->data, body->len, by_bytes ? &both : &whole, b, &tally), 0);
	assert_int_equal(tally.rejected, 0);
	assert_int_equal(store_write(b), 0);
	if (commit)
		assert_int_equal(db_commit(bench_db()), 0);
	else
		db_rollback(bench_db());
	store_end(b, commit);
}

/* Few names and labels, in any order, so that batches resemble each other and do not. */
static void
some_samples(struct otlp_sample *samples, size_t n, uint64_t time_us)
{
	static const char *const services[] = { NULL, "redis", "nginx" }, *const names[] = { "a", "b", "c" }, *const values[] = { "", "x", "xy" };

	for (size_t i = 0; i < n; i++) {
		struct otlp_sample *s = &samples[i];

		*s = (struct otlp_sample){ .service = services[roll(3)], .name = names[roll(3)], .kind = roll(2) ? OTLP_SAMPLE_GAUGE : OTLP_SAMPLE_COUNTER,
			.is_int = roll(2), .whole = roll(1000), .real = roll(1000) / 8.0, .no_value = roll(9) == 0, .time_us = time_us + i * 1000 };
		s->n_labels = roll(3);
		for (size_t k = 0; k < s->n_labels; k++)
			s->labels[k] = (struct otlp_label){ k ^ roll(2) ? "k" : "l", values[roll(3)] };
	}
}

static void
test_a_number_is_the_same_by_its_bytes_and_read_whole(void **state)
{
	const char *text = getenv("SEED");
	const struct otlp_speaker speaker = { "acme-1", "1" };
	SCOPED_JSON *by_bytes = json_array(), *whole = json_array();

	(void)state;
	seed = text ? strtoull(text, NULL, 10) : 4711;
	print_message("SEED=%ju\n", (uintmax_t)seed);
	for (unsigned turn = 0; turn < 60; turn++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(1 << 20);
		struct otlp_sample samples[60];
		size_t n = 1 + roll(60);
		bool commit = roll(8) != 0;

		some_samples(samples, n, BENCH_NOW - 3600 * CLOCK_US_PER_S + turn * CLOCK_US_PER_S);
		assert_int_equal(otlp_encode_metrics(&body, &speaker, samples, n), 0);
		take_body("acme-1", &body, true, commit);
		take_body("acme-2", &body, false, commit);
		if (roll(10) == 0)
			head_forget_all();
	}
	assert_int_equal(store_latest("acme", bench_db(), "acme-1", by_bytes), 0);
	assert_int_equal(store_latest("acme", bench_db(), "acme-2", whole), 0);
	assert_true(json_array_size(whole) > 30);
	assert_true(json_equal(by_bytes, whole));
	assert_int_equal(bench_count(bench_db(), "SELECT count(DISTINCT sum) FROM (SELECT sum(points) AS sum FROM point_batches GROUP BY site)"), 1);
}

static void
test_names_beyond_what_is_remembered_are_looked_up(void **state)
{
	struct otlp_point p = gauge();
	struct head *h;

	(void)state;
	p.metric = 1;
	p.is_run = true;
	assert_int_equal(take("", &p), 0);
	assert_int_equal(head_open(&h, "acme", bench_db()), 0);
	for (uint32_t i = 0; i < HEAD_KEYS_MAX; i++)
		assert_int_equal(head_remember(h, &i, sizeof(i), 0), 0);
	p.real = 2;
	assert_int_equal(take_number("", &p), 0);
	assert_true(newest("up", "") == 2);
	p.name = text("down");
	for (int i = 0; i < 2; i++) {
		p.real = 3 + i;
		assert_int_equal(take_number("", &p), OTLP_DECODE_WHOLE);
		assert_int_equal(take("", &p), 0);
		assert_true(newest("down", "") == 3 + i);
	}
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 2);
}

static void
test_a_batch_has_so_many_points(void **state)
{
	struct otlp_point p = gauge();
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	struct store_batch *b;

	(void)state;
	assert_int_equal(db_begin(bench_db()), 0);
	assert_int_equal(store_begin(&b, "acme", bench_db(), "acme-1", ""), 0);
	for (size_t i = 0; i < STORE_BATCH_POINTS_MAX; i++)
		if (store_point(b, &p) != 0)
			fail();
	assert_int_equal(store_point(b, &p), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	db_rollback(bench_db());
	store_end(b, false);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_point_that_cannot_be_stored_leaves_nothing),
		TEST(test_a_histogram_is_its_count_sum_and_buckets),
		TEST(test_a_summary_is_its_count_sum_and_quantiles),
		TEST(test_what_is_not_committed_is_not_remembered),
		TEST(test_a_stale_series_has_no_value),
		TEST(test_a_number_that_was_met_is_known_by_its_bytes),
		TEST(test_a_number_is_the_same_by_its_bytes_and_read_whole),
		TEST(test_names_beyond_what_is_remembered_are_looked_up),
		TEST(test_a_batch_has_so_many_points),
		TEST(test_other_senders_take_no_room_and_replace_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
