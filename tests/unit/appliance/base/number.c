/* Text that means a number: decimal, sizes, hex, base64, times and spans. */
#include "appliance/base/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/hex.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static void
only_plain_decimal_is_a_number(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "01", "1x", "0x1",
		"18446744073709551616", "99" };
	uint64_t v = 7;
	int64_t i = 7;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_int_equal(number_u64(&v, bad[k], 50), REASON_MALFORMED);
	assert_int_equal(number_u64(&v, NULL, 50), REASON_MALFORMED);
	assert_int_equal(v, 7);
	assert_int_equal(number_u64(&v, "18446744073709551615", UINT64_MAX), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(number_i64(&i, "-0", -5, 5), REASON_MALFORMED);
	assert_int_equal(number_i64(&i, "6", -5, 5), REASON_MALFORMED);
	assert_int_equal(number_i64(&i, "-6", -5, 5), REASON_MALFORMED);
	assert_int_equal(number_i64(&i, "--5", -5, 5), REASON_MALFORMED);
	assert_int_equal(i, 7);
	assert_int_equal(number_i64(&i, "-9223372036854775808", INT64_MIN, INT64_MAX), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(number_i64(&i, "9223372036854775808", INT64_MIN, INT64_MAX),
		REASON_MALFORMED);
}

static void
sizes_have_units(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(number_size(&v, "64kb"), 0);
	assert_int_equal(v, 65536);
	assert_int_equal(number_size(&v, "3M"), 0);
	assert_int_equal(v, 3 << 20);
	assert_int_equal(number_size(&v, "1g"), 0);
	assert_int_equal(v, 1 << 30);
	assert_int_equal(number_size(&v, "17"), 0);
	assert_int_equal(v, 17);
	assert_int_equal(number_size(&v, "17179869184g"), REASON_MALFORMED);
	assert_int_equal(number_size(&v, "1x"), REASON_MALFORMED);
	assert_int_equal(number_size(&v, "kb"), REASON_MALFORMED);
}

static void
people_read_sizes_as_they_write_them(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 bytes" }, { 1023, "1023 bytes" }, { 1024, "1 KiB" }, { 1025, "1025 bytes" }, { 67108864, "64 MiB" },
		{ 67108865, "67108865 bytes" }, { 1572864, "1536 KiB" }, { UINT64_C(3) << 30, "3 GiB" },
		{ UINT64_C(1) << 63, "8388608 TiB" }, { UINT64_MAX, "18446744073709551615 bytes" },
	};
	char text[NUMBER_SIZE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(number_size_text(text, rows[i].bytes), rows[i].text);
}

static void
hex_is_strict(void **state)
{
	uint8_t out[2] = { 9, 9 };
	char text[5];

	(void)state;
	assert_string_equal(hex_encode(text, "\x0a\xff", 2), "0aff");
	assert_true(hex_decode(out, 2, "0aff"));
	assert_int_equal(out[0], 10);
	assert_false(hex_decode(out, 2, "0AFF"));
	assert_false(hex_decode(out, 2, "0af"));
	assert_false(hex_decode(out, 2, "0afff"));
	assert_false(hex_decode(out, 2, "0afg"));
	assert_int_equal(out[1], 255);
}

static void
base64_is_strict(void **state)
{
	static const struct {
		const char *bytes, *text;
	} rows[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" } };
	static const char *const bad[] = { "Zg=", "Zg", "Zh==", "Zm9=", "Zm8",
		"Z===", "====", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm-_" };

	char out[100];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf a = BUF_MAX(100), b = BUF_MAX(100);

		hex_base64(&a, rows[i].bytes, strlen(rows[i].bytes));
		assert_string_equal(buf_text(&a), rows[i].text);
		assert_string_equal(hex_base64_into(out, rows[i].bytes, strlen(rows[i].bytes)), rows[i].text);
		assert_true(hex_unbase64(&b, rows[i].text, strlen(rows[i].text)));
		assert_string_equal(buf_text(&b), rows[i].bytes);
		assert_true(hex_unbase64_into(out, b.len, &n, rows[i].text, strlen(rows[i].text)));
		assert_int_equal(n, b.len);
		assert_memory_equal(out, rows[i].bytes, n);
		if (n > 0) /* one too many */
			assert_false(hex_unbase64_into(out, n - 1, &n, rows[i].text, strlen(rows[i].text)));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(100);

		if (hex_unbase64(&b, bad[i], strlen(bad[i])) ||
			hex_unbase64_into(out, sizeof(out), &n, bad[i], strlen(bad[i])))
			fail_msg("%s", bad[i]);
	}
}

static void
times_are_read_and_written(void **state)
{
	static const char *const bad[] = { "", "2026-11-21", "2026-11-21T20:30:00",
		"2026-11-21T20:30:00+00:00", "2026-11-21 20:30:00Z", "2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T20:30:60Z",
		"2026-11-21T20:30:00.Z", "2026-11-21T20:30:00.1234567Z", "1969-12-31T23:59:59Z",
		"2026-11-21T20:30:00Zx", "2026-1-021T20:30:00Z", "+026-11-21T20:30:00Z" };
	char text[CLOCK_TEXT_MAX];
	uint64_t us = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (clock_parse(&us, bad[i]) != REASON_MALFORMED)
			fail_msg("%s", bad[i]);
	assert_int_equal(us, 7);
	assert_int_equal(clock_parse(&us, "2026-11-21T20:30:00.123456Z"), 0);
	assert_string_equal(clock_format(text, us), "2026-11-21T20:30:00.123Z");
	assert_string_equal(clock_format_s(text, us), "2026-11-21T20:30:00Z");
	assert_int_equal(clock_parse(&us, "2024-02-29T00:00:00.5Z"), 0);
	assert_string_equal(clock_format(text, us), "2024-02-29T00:00:00.500Z");
	assert_int_equal(clock_parse_s(&us, "2024-02-29T00:00:00Z"), 0);
	assert_int_equal(clock_parse_s(&us, "2024-02-29T00:00:00.5Z"), REASON_MALFORMED);
	assert_string_equal(clock_format(text, UINT64_MAX), "9999-12-31T23:59:59.999Z");
}

static void
spans_have_units(void **state)
{
	uint64_t us = 7;

	(void)state;
	assert_int_equal(clock_parse_span(&us, "x"), REASON_MALFORMED);
	assert_int_equal(clock_parse_span(&us, ""), REASON_MALFORMED);
	assert_int_equal(clock_parse_span(&us, "-1s"), REASON_MALFORMED);
	assert_int_equal(clock_parse_span(&us, "123456789d"), REASON_MALFORMED);
	assert_int_equal(us, 7);
	assert_int_equal(clock_parse_span(&us, "90"), 0);
	assert_int_equal(us, 90000000);
	assert_int_equal(clock_parse_span(&us, "250ms"), 0);
	assert_int_equal(us, 250000);
	assert_int_equal(clock_parse_span(&us, "2d"), 0);
	assert_true(us == 172800 * CLOCK_US_PER_S);
}

static void
a_fake_clock_stands(void **state)
{
	(void)state;
	clock_fake(5, 6);
	assert_int_equal(clock_now_us(), 5);
	assert_int_equal(clock_mono_us(), 6);
	clock_real();
	assert_true(clock_now_us() > UINT64_C(1600000000) * CLOCK_US_PER_S);
	assert_true(clock_mono_us() > 6);
}

static void
backoff_grows_to_its_cap(void **state)
{
	(void)state;
	for (unsigned tries = 0; tries < 80; tries++) {
		uint64_t us = clock_backoff_us(tries, 100, 10000);

		assert_in_range(us, 50, tries > 6 ? 10000 : 100u << tries);
	}
}

static void
the_nearest_word_is_found(void **state)
{
	static const char *const names[] = { "status", "service install", "update" };

	(void)state;
	assert_string_equal(nearest_word("stauts", names, 3), "status");
	assert_string_equal(nearest_word("stat", names, 3), "status");
	assert_string_equal(nearest_word("updates", names, 3), "update");
	assert_null(nearest_word("zebra", names, 3));
	assert_null(nearest_word("x", names, 3));
	assert_null(nearest_word("", names, 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_plain_decimal_is_a_number),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(people_read_sizes_as_they_write_them),
		cmocka_unit_test(hex_is_strict),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(times_are_read_and_written),
		cmocka_unit_test(spans_have_units),
		cmocka_unit_test(a_fake_clock_stands),
		cmocka_unit_test(backoff_grows_to_its_cap),
		cmocka_unit_test(the_nearest_word_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
