#include "telemetry/otlp/unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/refused.h"

enum { TEXT = 300000, PACKED = 400000 };

static uint8_t text[TEXT], packed[PACKED];

static size_t
gzipped(const void *p, size_t len)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)p, .avail_in = (unsigned)len, .next_out = packed,
		.avail_out = PACKED };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return z.total_out;
}

static size_t
zstded(const void *p, size_t len)
{
	size_t n = ZSTD_compress(packed, PACKED, p, len, 3);

	assert_false(ZSTD_isError(n));
	return n;
}

static size_t
plain(const void *p, size_t len)
{
	memcpy(packed, p, len);
	return len;
}

static const struct {
	const char *coding;
	size_t (*pack)(const void *p, size_t len);
} codings[] = { { "gzip", gzipped }, { "zstd", zstded }, { "identity", plain } };

static int
fill(void **state)
{
	(void)state;
	for (size_t i = 0; i < TEXT; i++)
		text[i] = (uint8_t)(i * i >> 7);
	return 0;
}

static void
test_what_was_packed_comes_out(void **state)
{
	static const size_t lengths[] = { 0, 1, 65535, 65536, 65537, TEXT };

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(codings); c++)
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			SCOPED(buf_done) struct buf out = BUF_MAX(TEXT);
			size_t n = codings[c].pack(text, lengths[i]);

			assert_int_equal(unpack_body(&out, codings[c].coding, packed, n), 0);
			assert_int_equal(out.len, lengths[i]);
			assert_memory_equal(out.data ? out.data : text, text, out.len);
		}
}

static void
test_the_maximum_holds_to_the_byte(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(codings); c++) {
		SCOPED(buf_done) struct buf fits = BUF_MAX(TEXT);
		SCOPED(buf_done) struct buf small = BUF_MAX(TEXT - 1);
		size_t n = codings[c].pack(text, TEXT);

		assert_int_equal(unpack_body(&fits, codings[c].coding, packed, n), 0);
		assert_int_equal(unpack_body(&small, codings[c].coding, packed, n), REASON_TOO_LARGE);
		assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
		assert_true(small.cap <= 2 * TEXT);
	}
}

static void
test_every_member_is_read_and_nothing_may_follow(void **state)
{
	/* one letter may yet become a header of gzip */
	static const char *const tails[] = { "ends too early", "is no zstd" };

	for (size_t c = 0; c < 2; c++) {
		SCOPED(buf_done) struct buf twice = BUF_MAX(2 * TEXT);
		SCOPED(buf_done) struct buf tail = BUF_MAX(2 * TEXT);
		SCOPED(buf_done) struct buf torn = BUF_MAX(2 * TEXT);
		size_t n = codings[c].pack(text, 1000);

		memcpy(packed + n, packed, n);
		assert_int_equal(unpack_body(&twice, codings[c].coding, packed, 2 * n), 0);
		assert_int_equal(twice.len, 2000);
		assert_memory_equal(twice.data + 1000, text, 1000);
		assert_refused(unpack_body(&torn, codings[c].coding, packed, n - 1), REASON_MALFORMED, "ends too early");
		packed[n] = 'x';
		assert_refused(unpack_body(&tail, codings[c].coding, packed, n + 1), REASON_MALFORMED, tails[c]);
	}
	(void)state;
}

static void
test_other_codings_and_wide_windows_are_refused(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(TEXT);
	ZSTD_CCtx *wide = ZSTD_createCCtx();
	ZSTD_inBuffer in = { text, 100, 0 };
	ZSTD_outBuffer to = { packed, PACKED, 0 };

	(void)state;
	assert_int_equal(unpack_body(&out, "br", text, 10), REASON_USAGE);
	assert_int_equal(unpack_body(&out, "gzip, gzip", text, 10), REASON_USAGE);
	assert_refused(unpack_body(&out, "gzip", text, 0), REASON_MALFORMED, "is no gzip");
	assert_refused(unpack_body(&out, "zstd", text, 0), REASON_MALFORMED, "ends too early");
	assert_refused(unpack_body(&out, "gzip", "no header", 9), REASON_MALFORMED, "is no gzip");
	assert_refused(unpack_body(&out, "zstd", "no header", 9), REASON_MALFORMED, "is no zstd");
	/* A frame whose window is 16 MiB makes the reader set that much aside: RFC 9659 stops at 8. */
	assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(wide, ZSTD_c_windowLog, 24)));
	assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(wide, ZSTD_c_contentSizeFlag, 0)));
	assert_false(ZSTD_isError(ZSTD_compressStream2(wide, &to, &in, ZSTD_e_flush)));
	assert_int_equal(ZSTD_compressStream2(wide, &to, &in, ZSTD_e_end), 0);
	ZSTD_freeCCtx(wide);
	assert_int_equal(unpack_body(&out, "zstd", packed, to.pos), REASON_MALFORMED);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_packed_comes_out),
		cmocka_unit_test(test_the_maximum_holds_to_the_byte),
		cmocka_unit_test(test_every_member_is_read_and_nothing_may_follow),
		cmocka_unit_test(test_other_codings_and_wide_windows_are_refused),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
