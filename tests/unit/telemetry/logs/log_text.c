/* Bytes of logs as UTF-8, and places as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "telemetry/logs/log_cursor.h"
#include "telemetry/logs/log_text.h"
#include "telemetry/otlp/pbx.h"
#include "tests/fakes/refused.h"

static const struct {
	const char *name, *in;
	size_t len;
	const char *out;
} rows[] = {
	{ "ASCII stands", "GET /index.html HTTP/1.1", 24, "GET /index.html HTTP/1.1" },
	{ "UTF-8 stands", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80!", 16, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80!" },
	{ "NUL does not", "a\0b", 3, "a\\x00b" },
	{ "nor does NUL after eight", "12345678\0", 9, "12345678\\x00" },
	{ "Latin-1 does not", "gr\xfc\xdf", 4, "gr\\xFC\\xDF" },
	{ "a character that ends early", "\xe2\x82", 2, "\\xE2\\x82" },
	{ "an overlong slash", "\xc0\xaf", 2, "\\xC0\\xAF" },
	{ "a surrogate", "\xed\xa0\x80x", 4, "\\xED\\xA0\\x80x" },
	{ "beyond Unicode", "\xf4\x90\x80\x80", 4, "\\xF4\\x90\\x80\\x80" },
	{ "nothing", "", 0, "" },
};

static void
what_is_no_utf8_is_escaped(void **state)
{
	size_t i, escaped;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(256);
		bool clean = log_text_is_clean(rows[i].in, rows[i].len);

		escaped = log_text_clean(&out, rows[i].in, rows[i].len);
		if (strcmp(buf_text(&out), rows[i].out) != 0 || clean != (escaped == 0))
			fail_msg("%s: %s", rows[i].name, buf_text(&out));
	}
}

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void
any_bytes_come_out_as_utf8(void **state)
{
	uint32_t seed = 7;
	unsigned turn, i;

	(void)state;
	for (turn = 0; turn < 20000; turn++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(256);
		uint8_t in[24];
		size_t len = next(&seed) % sizeof(in);

		for (i = 0; i < len; i++)
			in[i] = (uint8_t)(next(&seed) % 3 == 0 ? 0xe0 + next(&seed) % 32 : 0x70 + next(&seed) % 80);
		(void)log_text_clean(&out, in, len);
		assert_true(pbx_is_utf8(out.data ? out.data : in, out.len));
		assert_int_equal(log_text_is_clean(in, len),
			pbx_is_utf8(in, len) && (len == 0 || !memchr(in, 0, len)));
	}
}

static const struct log_place places[] = {
	{ .key = 1, .device = 2, .inode = 3, .print_len = 64, .print = 5, .offset = 6, .cut = true,
		.secret_lines = 7 },
	{ .key = UINT64_MAX },
};

static void
a_cursor_comes_back(void **state)
{
	struct log_cursor in = { .generation = 9, .files = (struct log_place *)places, .n_files = 2,
		.journal = "s=abc;i=1" };
	SCOPED(log_cursor_done) struct log_cursor out = { 0 };
	SCOPED(buf_done) struct buf bytes = BUF_MAX(LOG_CURSOR_BYTES_MAX);

	(void)state;
	log_cursor_put(&bytes, &in);
	assert_int_equal(buf_error(&bytes), 0);
	assert_int_equal(log_cursor_read(&out, bytes.data, bytes.len, "it"), 0);
	assert_int_equal(out.generation, 9);
	assert_int_equal(out.n_files, 2);
	assert_memory_equal(out.files, places, sizeof(places));
	assert_string_equal(out.journal, "s=abc;i=1");
}

static void
a_cursor_that_is_none_is_refused(void **state)
{
	struct log_cursor in = { .files = (struct log_place *)places, .n_files = 2, .journal = "j" };
	SCOPED(log_cursor_done) struct log_cursor out = { 0 };
	SCOPED(buf_done) struct buf bytes = BUF_MAX(LOG_CURSOR_BYTES_MAX);
	size_t len;

	(void)state;
	log_cursor_put(&bytes, &in);
	for (len = 0; len < bytes.len; len++)
		assert_refused(log_cursor_read(&out, bytes.data, len, "it"), REASON_MALFORMED, "no place");
	bytes.data[0] = 2; /* another version */
	assert_refused(log_cursor_read(&out, bytes.data, bytes.len, "it"), REASON_MALFORMED, "no place");
	bytes.data[0] = 1;
	bytes.data[11 + 41] = 2; /* neither cut nor not */
	assert_refused(log_cursor_read(&out, bytes.data, bytes.len, "it"), REASON_MALFORMED, "no place");
	bytes.data[11 + 41] = 0;
	bytes.data[bytes.len - 1] = '\0';
	assert_refused(log_cursor_read(&out, bytes.data, bytes.len, "it"), REASON_MALFORMED, "no place");
	bytes.data[9] = 0xff; /* too many */
	assert_refused(log_cursor_read(&out, bytes.data, bytes.len, "it"), REASON_MALFORMED, "no place");
	assert_null(out.files);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_utf8_is_escaped),
		cmocka_unit_test(any_bytes_come_out_as_utf8),
		cmocka_unit_test(a_cursor_comes_back),
		cmocka_unit_test(a_cursor_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
