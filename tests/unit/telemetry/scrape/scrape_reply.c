/* What an exporter may answer in HTTP: heads, lengths, chunks, gzip; and what is refused of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/scrape_reply.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define TEXT "Content-Type: text/plain; version=0.0.4\r\n"
#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static int
note(const struct otlp_sample *s, bool timed, void *arg)
{
	(void)timed;
	buf_printf(arg, "%s=%g ", s->name, s->real);
	return 0;
}

enum { MORE = -1 }; /* as a result: it waits for more; close() then refuses */

static const struct row {
	const char *name, *bytes;
	const char *want; /* samples, or a part of the refusal */
	int result;
} rows[] = {
	{ "to the end", OK TEXT "\r\na 1\nb 2\n", "a=1 b=2 ", 0 },
	{ "HTTP/1.0, lines that end with a line feed alone",
		"HTTP/1.0 200\nContent-type:text/plain\n\na 1\n", "a=1 ", 0 },
	{ "so many bytes", OK TEXT "Content-Length: 4\r\n\r\na 1\nrest of nothing", "a=1 ", 0 },
	{ "none", OK TEXT "Content-Length: 0\r\n\r\n", "", 0 },
	{ "a length twice", OK TEXT "Content-Length: 4\r\ncontent-length: 4\r\n\r\na 1\n", "a=1 ",
		0 },
	{ "chunks",
		OK TEXT "Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\na 1\r\n5 \r\n\nb "
			"2\n\r\n000\r\nTrailer: x\r\n\r\n",
		"a=1 b=2 ", 0 },
	{ "OpenMetrics",
		OK "Content-Type: application/openmetrics-text; version=1.0.0\r\n\r\na 1\n# EOF\n",
		"a=1 ", 0 },
	{ "another protocol", "SSH-2.0-OpenSSH\r\n\r\n", "its answer is none of HTTP/1",
		REASON_MALFORMED },
	{ "HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "its answer is none of HTTP/1", REASON_MALFORMED },
	{ "a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "its answer is none of HTTP/1",
		REASON_MALFORMED },
	{ "a status of letters", "HTTP/1.1 2x0 OK\r\n\r\n", "its answer is none of HTTP/1",
		REASON_MALFORMED },
	{ "an error", "HTTP/1.1 503 no\r\n\r\n", "it answered 503, not 200", REASON_UNREACHABLE },
	{ "a redirect", "HTTP/1.1 302 there\r\nLocation: http://x/\r\n\r\n",
		"302, not 200; no redirect is followed", REASON_UNREACHABLE },
	{ "no type", OK "\r\na 1\n", "Content-Type \"\", which is no exposition (it may be named",
		REASON_MALFORMED },
	{ "a page", OK "Content-Type: text/html\r\n\r\n<a>",
		"Content-Type \"text/html\", which is no exposition", REASON_MALFORMED },
	{ "a length that is none", OK TEXT "Content-Length: 4x\r\n\r\na 1\n",
		"has no good Content-Length", REASON_MALFORMED },
	{ "an empty length", OK TEXT "Content-Length:\r\n\r\na 1\n", "has no good Content-Length",
		REASON_MALFORMED },
	{ "two lengths", OK TEXT "Content-Length: 4\r\nContent-Length: 5\r\n\r\na 1\n",
		"has no good Content-Length", REASON_MALFORMED },
	{ "a length of a terabyte", OK TEXT "Content-Length: 1099511627776\r\n\r\n",
		"shows more than 10 MiB", REASON_TOO_LARGE },
	{ "a length and chunks",
		OK TEXT "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\na 1\n",
		"both Content-Length and chunks", REASON_MALFORMED },
	{ "another transfer coding", OK TEXT "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"Transfer-Encoding that is not chunked", REASON_MALFORMED },
	{ "brotli", OK TEXT "Content-Encoding: br\r\n\r\n",
		"Content-Encoding that was not asked for", REASON_MALFORMED },
	{ "no gzip", OK TEXT "Content-Encoding: gzip\r\n\r\na 1\n", "is no gzip",
		REASON_MALFORMED },
	{ "gzip of nothing", OK TEXT "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
		"has a gzip of nothing", REASON_MALFORMED },
	{ "a field without a name", OK ": x\r\n\r\n", "header field of no good form",
		REASON_MALFORMED },
	{ "a field without a colon", OK "x\r\n\r\n", "header field of no good form",
		REASON_MALFORMED },
	{ "a folded field", OK "x: y\r\n z: y\r\n\r\n", "header field of no good form",
		REASON_MALFORMED },
	{ "a head that ends early", OK TEXT, "its answer ends too early", MORE },
	{ "a body that ends early", OK TEXT "Content-Length: 5\r\n\r\na 1\n",
		"its answer ends too early", MORE },
	{ "chunks that end early", OK TEXT "Transfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n",
		"its answer ends too early", MORE },
	{ "no size of a chunk", OK TEXT "Transfer-Encoding: chunked\r\n\r\n\r\n",
		"has a chunk of no good size", REASON_MALFORMED },
	{ "a size of sixteen digits",
		OK TEXT "Transfer-Encoding: chunked\r\n\r\n0000000000000001\r\n",
		"has a chunk of no good size", REASON_MALFORMED },
	{ "a chunk that goes on", OK TEXT "Transfer-Encoding: chunked\r\n\r\n1\r\na 1\r\n",
		"has a chunk that is longer than it says", REASON_MALFORMED },
	{ "a long line between chunks",
		OK TEXT "Transfer-Encoding: chunked\r\n\r\n1;" X100 X100 X100 "\r\n",
		"between chunks that is too long", REASON_MALFORMED },
	{ "trailers without end",
		OK TEXT "Transfer-Encoding: "
			"chunked\r\n\r\n0\r\na\r\na\r\na\r\na\r\na\r\na\r\na\r\na\r\na\r\na\r\na\r"
			"\na\r\na\r\na\r\na\r\na\r\na\r\n",
		"has too many trailers", REASON_MALFORMED },
	{ "a bad line", OK TEXT "\r\na b\n", "has a value that is no number", REASON_MALFORMED },
	{ "half a line", OK TEXT "\r\na 1\nb 1", "the next one has no end", REASON_MALFORMED },
};

/* In pieces of so many bytes, then the end. */
static int
answer(struct buf *out, enum exposition_format fallback, const void *bytes, size_t len,
	size_t piece)
{
	SCOPED(scrape_reply_freep) struct scrape_reply *s = NULL;
	SCOPED(scope_free) char *copy = malloc(len + 1);
	int r = scrape_reply_new(&s, "test", fallback, note, out);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = scrape_reply_feed(s, copy + at, len - at < piece ? len - at : piece);
	return r ?: scrape_reply_close(s);
}

static void
answers_row_by_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t piece = 1; piece < 5000; piece = piece * 3 + 4) {
			const struct row *row = &rows[i];
			SCOPED(buf_done) struct buf out = BUF_MAX(4096);
			int want = row->result == 0   ? SCRAPE_REPLY_WHOLE
				: row->result == MORE ? REASON_MALFORMED
						      : row->result;
			uint64_t before = refuse_count(REASON_MALFORMED) +
				refuse_count(REASON_TOO_LARGE) + refuse_count(REASON_UNREACHABLE);
			int r = answer(&out, EXPOSITION_MAX, row->bytes, strlen(row->bytes), piece);
			uint64_t after = refuse_count(REASON_MALFORMED) +
				refuse_count(REASON_TOO_LARGE) + refuse_count(REASON_UNREACHABLE);

			if (r != want || after != before + (row->result != 0))
				fail_msg("%s: %d, %s", row->name, r, refuse_last()->text);
			if (row->result == 0 && strcmp(buf_text(&out), row->want) != 0)
				fail_msg("%s: %s", row->name, buf_text(&out));
			if (row->result != 0 && !strstr(refuse_last()->text, row->want))
				fail_msg("%s: %s", row->name, refuse_last()->text);
		}
}

static void
a_format_may_be_fallen_back_to(void **state)
{
	static const char bytes[] = OK "\r\na 1\n";
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	assert_int_equal(answer(&out, EXPOSITION_TEXT, bytes, sizeof(bytes) - 1, 100),
		SCRAPE_REPLY_WHOLE);
	assert_string_equal(buf_text(&out), "a=1 ");
}

static void
heads_end(void **state)
{
	SCOPED(buf_done) struct buf bytes = BUF_MAX(65536);
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	buf_puts(&bytes, OK);
	for (unsigned i = 0; i < 170; i++)
		buf_puts(&bytes, "a: " X100 "\r\n");
	assert_int_equal(answer(&out, EXPOSITION_MAX, bytes.data, bytes.len, 1000),
		REASON_TOO_LARGE);
	assert_non_null(strstr(refuse_last()->text, "head is longer than 16 KiB"));
}

/* --- gzip ------------------------------------------------------------------------------------------------------- */
static void
put_gzip(struct buf *out, const void *p, size_t len)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)p, .avail_in = (unsigned)len };
	size_t room = len / 100 + 1024;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = buf_reserve(out, room);
	z.avail_out = (unsigned)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_advance(out, room - z.avail_out);
	(void)deflateEnd(&z);
}

static void
begin_gzip(struct buf *out)
{
	buf_puts(out, OK TEXT "Content-Encoding: gzip\r\n\r\n");
}

static void
gzip_is_read_to_its_last_member(void **state)
{
	SCOPED(buf_done) struct buf bytes = BUF_MAX(65536);
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	begin_gzip(&bytes);
	put_gzip(&bytes, "a 1\nb", 5);
	put_gzip(&bytes, " 2\n", 3);
	for (size_t piece = 1; piece < 200; piece += 13) {
		buf_reset(&out);
		assert_int_equal(answer(&out, EXPOSITION_MAX, bytes.data, bytes.len, piece),
			SCRAPE_REPLY_WHOLE);
		assert_string_equal(buf_text(&out), "a=1 b=2 ");
		/* The last byte is missing. */
		assert_int_equal(answer(&out, EXPOSITION_MAX, bytes.data, bytes.len - 1, piece),
			REASON_MALFORMED);
		assert_non_null(strstr(refuse_last()->text, "ends too early"));
	}
}

static void
what_is_larger_than_10_mib_is_refused(void **state)
{
	static const size_t large = SCRAPE_REPLY_BODY_MAX + 1;
	SCOPED(scope_free) char *blanks = malloc(large);
	SCOPED(buf_done) struct buf bytes = BUF_MAX(12 * 1024 * 1024);
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	assert_non_null(blanks);
	memset(blanks, '\n', large);
	/* Packed it is small. */
	begin_gzip(&bytes);
	put_gzip(&bytes, blanks, large);
	assert_true(bytes.len < 65536);
	assert_int_equal(answer(&out, EXPOSITION_MAX, bytes.data, bytes.len, 4096),
		REASON_TOO_LARGE);
	assert_non_null(strstr(refuse_last()->text, "unpacks to more"));
	buf_reset(&bytes);
	begin_gzip(&bytes);
	put_gzip(&bytes, blanks, large - 1);
	assert_int_equal(answer(&out, EXPOSITION_MAX, bytes.data, bytes.len, 4096),
		SCRAPE_REPLY_WHOLE);
	/* As it is, without a length. */
	buf_reset(&bytes);
	buf_puts(&bytes, OK TEXT "\r\n");
	buf_put(&bytes, blanks, large);
	assert_int_equal(answer(&out, EXPOSITION_MAX, bytes.data, bytes.len, 65536),
		REASON_TOO_LARGE);
	assert_non_null(strstr(refuse_last()->text, "shows more than 10 MiB"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_row_by_row),
		cmocka_unit_test(a_format_may_be_fallen_back_to),
		cmocka_unit_test(heads_end),
		cmocka_unit_test(gzip_is_read_to_its_last_member),
		cmocka_unit_test(what_is_larger_than_10_mib_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
