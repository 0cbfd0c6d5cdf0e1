#include "telemetry/store/store.h"

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
		{ "a gauge without a value", no_value, REASON_MALFORMED },
	};
	uint64_t stored = store_count();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct otlp_point p = gauge();
		uint64_t before = refuse_count(rows[i].reason);
		int r;

		rows[i].spoil(&p);
		r = store_point(bench_db(), "acme-1", "", &p);
		if (r != (int)rows[i].reason || refuse_last()->reason != rows[i].reason ||
			refuse_count(rows[i].reason) != before + 1)
			fail_msg("%s: %d", rows[i].what, r);
	}
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM points"), 0);
	assert_int_equal(store_count(), stored);
}

static void
test_a_histogram_is_its_count_and_sum(void **state)
{
	struct otlp_point p = gauge();

	(void)state;
	p.kind = OTLP_KIND_HISTOGRAM;
	p.count = 3;
	p.has_sum = true;
	p.sum = 4.5;
	assert_int_equal(store_point(bench_db(), "acme-1", "", &p), 0);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT last_value FROM series WHERE name = 'up_count'"),
		3);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT last_value * 10 FROM series WHERE name = 'up_sum'"),
		45);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 2);
}

static void
test_a_stale_series_has_no_value(void **state)
{
	struct otlp_point p = gauge();

	(void)state;
	assert_int_equal(store_point(bench_db(), "acme-1", "", &p), 0);
	p.has_value = false;
	p.flags = OTLP_FLAG_NO_VALUE;
	p.time_ns += 1000;
	assert_int_equal(store_point(bench_db(), "acme-1", "", &p), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM points WHERE value IS NULL"),
		1);
	assert_int_equal(bench_count(bench_db(), "SELECT last_value IS NULL FROM series"), 1);
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
	assert_int_equal(store_point(bench_db(), "acme-1", "", &p), 0);
	p.real = 9;
	assert_int_equal(store_point(bench_db(), "acme-1", STORE_VIA_OTLP, &p), 0);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT last_value FROM series WHERE service = ''"),
		1);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT last_value FROM series WHERE name = 'up' AND service = "
				 "'" STORE_VIA_OTLP "'"),
		9);
	p.name = text("more");
	assert_int_equal(store_point(bench_db(), "acme-1", STORE_VIA_OTLP, &p), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_int_equal(store_point(bench_db(), "acme-1", "", &p), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_point_that_cannot_be_stored_leaves_nothing),
		TEST(test_a_histogram_is_its_count_and_sum),
		TEST(test_a_stale_series_has_no_value),
		TEST(test_other_senders_take_no_room_and_replace_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
