/* A body in the coding that its reader takes. */
#include "appliance/egress/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static void
the_next_coding_is_what_the_answer_names(void **state)
{
	static const struct {
		enum pack_coding sent;
		const char *accept;
		enum pack_coding then;
	} rows[] = {
		{ PACK_ZSTD, "gzip", PACK_GZIP },
		{ PACK_ZSTD, "identity, GZIP;q=0.5", PACK_GZIP },
		{ PACK_ZSTD, "deflate,gzip", PACK_GZIP },
		{ PACK_ZSTD, "gzip;q=0", PACK_IDENTITY },
		{ PACK_ZSTD, "gzip;q=0, br", PACK_IDENTITY },
		{ PACK_ZSTD, "gzippy", PACK_IDENTITY },
		{ PACK_ZSTD, "zstd", PACK_IDENTITY }, /* it says so and refuses it: believed neither way */
		{ PACK_ZSTD, "identity", PACK_IDENTITY },
		{ PACK_ZSTD, "", PACK_IDENTITY },
		{ PACK_ZSTD, NULL, PACK_IDENTITY },
		{ PACK_GZIP, "zstd, gzip", PACK_IDENTITY },
		{ PACK_IDENTITY, "gzip", PACK_IDENTITY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (pack_below(rows[i].sent, rows[i].accept) != rows[i].then)
			fail_msg("row %zu: %s", i, rows[i].accept ? rows[i].accept : "none");
}

static size_t
gunzip(uint8_t *out, size_t room, const uint8_t *p, size_t len)
{
	z_stream z = { .next_in = (Bytef *)p, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)room };

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	(void)inflateEnd(&z);
	return z.total_out;
}

static void
every_coding_holds_the_same_body(void **state)
{
	SCOPED(buf_done) struct buf room = BUF_MAX(65536);
	uint8_t text[4000], frame[4200], back[5000];
	enum pack_coding coding;
	const uint8_t *body;
	size_t len, n;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)('a' + i % 7);
	for (int stored = LEDGER_IDENTITY; stored <= LEDGER_ZSTD; stored++) {
		struct ledger_entry e = { .body = text, .body_len = sizeof(text), .plain_len = sizeof(text) };

		if (stored == LEDGER_ZSTD) {
			e.coding = LEDGER_ZSTD;
			e.body = frame;
			e.body_len = ZSTD_compress(frame, sizeof(frame), text, sizeof(text), 1);
		}
		assert_int_equal(pack_body(&e, PACK_ZSTD, &room, &body, &len, &coding, "s"), 0);
		assert_int_equal(coding, PACK_ZSTD);
		assert_true(stored == LEDGER_IDENTITY || body == frame); /* as it lies */
		n = ZSTD_decompress(back, sizeof(back), body, len);
		assert_int_equal(n, sizeof(text));
		assert_memory_equal(back, text, n);
		assert_int_equal(pack_body(&e, PACK_GZIP, &room, &body, &len, &coding, "s"), 0);
		assert_int_equal(coding, PACK_GZIP);
		assert_int_equal(gunzip(back, sizeof(back), body, len), sizeof(text));
		assert_memory_equal(back, text, sizeof(text));
		assert_int_equal(pack_body(&e, PACK_IDENTITY, &room, &body, &len, &coding, "s"), 0);
		assert_int_equal(coding, PACK_IDENTITY);
		assert_int_equal(len, sizeof(text));
		assert_memory_equal(body, text, len);
	}
}

static void
what_would_grow_stays_plain(void **state)
{
	SCOPED(buf_done) struct buf room = BUF_MAX(65536);
	static const uint8_t small[100] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	uint8_t noise[1000];
	uint32_t x = 1;
	struct ledger_entry e = { .body = noise, .body_len = sizeof(noise), .plain_len = sizeof(noise) };
	enum pack_coding coding;
	const uint8_t *body;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = (uint8_t)(x >> 24);
	}
	for (int want = PACK_ZSTD; want < PACK_IDENTITY; want++) {
		assert_int_equal(pack_body(&e, (enum pack_coding)want, &room, &body, &len, &coding, "s"), 0);
		assert_int_equal(coding, PACK_IDENTITY);
		assert_ptr_equal(body, noise);
		e.body_len = sizeof(small); /* and what is small */
		e.body = small;
		assert_int_equal(pack_body(&e, (enum pack_coding)want, &room, &body, &len, &coding, "s"), 0);
		assert_int_equal(coding, PACK_IDENTITY);
		e.body_len = sizeof(noise);
		e.body = noise;
	}
}

static void
a_frame_that_is_none_is_malformed(void **state)
{
	SCOPED(buf_done) struct buf room = BUF_MAX(65536);
	struct ledger_entry e = { .coding = LEDGER_ZSTD, .body = (const uint8_t *)"no frame", .body_len = 8,
		.plain_len = 100 };
	uint64_t before = refuse_count(REASON_MALFORMED);
	enum pack_coding coding;
	const uint8_t *body;
	size_t len;

	(void)state;
	assert_int_equal(pack_body(&e, PACK_GZIP, &room, &body, &len, &coding, "s"), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_coding_is_what_the_answer_names),
		cmocka_unit_test(every_coding_holds_the_same_body),
		cmocka_unit_test(what_would_grow_stays_plain),
		cmocka_unit_test(a_frame_that_is_none_is_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
