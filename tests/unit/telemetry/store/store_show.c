#include "telemetry/store/store_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"

static void
test_a_curve_goes_from_the_lowest_to_the_highest(void **state)
{
	static const struct {
		const char *points, *curve;
	} rows[] = {
		{ "[]", "" },
		{ "[[\"t\",5]]", "▄" },
		{ "[[\"t\",0],[\"t\",null],[\"t\",7]]", "▁ █" },
		{ "[[\"t\",0],[\"t\",4],[\"t\",8]]", "▁▄█" },
		{ "[[\"t\",\"Infinity\"]]", " " },
		/* A minute is missing. */
		{ "[[\"2026-11-22T08:00:00Z\",0],[\"2026-11-22T08:01:00Z\",4],[\"2026-11-22T08:03:00Z\",8]]", "▁▄ █" },
		{ "[[\"2026-11-22T08:00:00Z\",0],[\"2026-11-22T08:00:00Z\",4],[\"2026-11-22T08:03:00Z\",8]]", "▁▄█" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *points = json_loads(rows[i].points, 0, NULL);
		SCOPED(buf_done) struct buf out = BUF_MAX(4096);

		store_show_curve(&out, points);
	assert_int_equal(buf_error(&out), 0);
		assert_string_equal(buf_text(&out), rows[i].curve);
	}
}

static void
test_many_points_fit_one_line(void **state)
{
	SCOPED_JSON *points = json_array();
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(json_array_append_new(points, json_pack("[s, i]", "t", i == 500)), 0);
	store_show_curve(&out, points);
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(out.len, 3 * STORE_SHOW_WIDTH);
	/* The one peak is not lost. */
	assert_non_null(strstr(buf_text(&out), "█"));
}

static void
test_a_long_gap_fits_one_line(void **state)
{
	SCOPED_JSON *points = json_loads("[[\"2026-11-22T08:00:00Z\",1],[\"2026-11-22T08:00:01Z\",2],[\"2026-12-22T08:00:00Z\",3]]", 0, NULL);
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	store_show_curve(&out, points);
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(out.len, 2 * 3 + STORE_SHOW_WIDTH - 2);
	assert_memory_equal(buf_text(&out), "▄ ", 4);
	assert_string_equal(buf_text(&out) + out.len - 4, " █");
}

static void
test_a_number_is_short(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(store_show_number(out, 12), "12");
	assert_string_equal(store_show_number(out, 3.25), "3.25");
	assert_string_equal(store_show_number(out, 4700000), "4700k");
	assert_string_equal(store_show_number(out, -52000000), "-52M");
}

static void
test_what_a_site_wrote_stays_on_its_line(void **state)
{
	SCOPED_JSON *record = json_pack("{s:s, s:s, s:i, s:s}", "time", "2026-11-21T20:30:00.000Z", "service", "a\033[31m", "severity", 17,
		"body", "one\n2026-11-21T20:30:00.000Z  INFO  two");
	SCOPED_JSON *map = json_pack("{s:s, s:s, s:i, s:{s:i}}", "time", "t", "service", "", "severity", 99, "body", "a", 1);
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	store_show_record(&out, record, false);
	assert_null(strchr(buf_text(&out), '\n'));
	assert_null(strchr(buf_text(&out), '\033'));
	assert_non_null(strstr(buf_text(&out), "ERROR"));
	buf_reset(&out);
	store_show_record(&out, record, true);
	assert_non_null(strstr(buf_text(&out), "\033[31mERROR\033[0m"));
	assert_null(strstr(buf_text(&out), "a\033"));
	buf_reset(&out);
	store_show_record(&out, map, true);
	assert_string_equal(buf_text(&out), "t  -        {\"a\":1}");
}

static void
test_a_value_of_a_query_is_escaped(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(64);

	(void)state;
	store_show_escape(&out, "a b&c=\"d\"/~ä");
	assert_string_equal(buf_text(&out), "a%20b%26c%3D%22d%22%2F~%C3%A4");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_curve_goes_from_the_lowest_to_the_highest),
		cmocka_unit_test(test_many_points_fit_one_line),
		cmocka_unit_test(test_a_long_gap_fits_one_line),
		cmocka_unit_test(test_a_number_is_short),
		cmocka_unit_test(test_what_a_site_wrote_stays_on_its_line),
		cmocka_unit_test(test_a_value_of_a_query_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
