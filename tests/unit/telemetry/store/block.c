#include "telemetry/store/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static uint64_t seed;

static uint64_t
roll(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return below ? (seed >> 20) % below : 0;
}

static int
sow(void **state)
{
	const char *text = getenv("SEED");

	(void)state;
	seed = text ? strtoull(text, NULL, 10) : 4711;
	print_message("SEED=%ju\n", (uintmax_t)seed);
	return 0;
}

/* A series as it may come: steady, jumping, whole, broken, with holes. */
static void
grow(struct block_point *p, size_t n, unsigned kind)
{
	int64_t t = (int64_t)roll(UINT64_C(1) << 60) - (INT64_C(1) << 59);
	double v = 0;

	for (size_t i = 0; i < n; i++) {
		t += kind & 1 ? 15000 : 1 + (int64_t)roll(kind & 2 ? 100000 : UINT64_C(1) << 40);
		switch (kind >> 2) {
		case 0:
			v += (double)roll(1000);
			break;
		case 1:
			v = (double)roll(1000000) / 7;
			break;
		case 2:
			v = roll(9) ? v : NAN;
			break;
		case 3:
			v = roll(2) ? 9007199254740992.0 : -9007199254740992.0;
			break;
		default:
			v = roll(3) ? INFINITY : roll(2) ? -0.0 : 5e-324 * (double)roll(99);
			break;
		}
		p[i] = (struct block_point){ t, v };
	}
}

static void
same(const struct block_point *a, const struct block_point *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_true(a[i].time_ms == b[i].time_ms);
		assert_true(isnan(a[i].value) ? isnan(b[i].value) : memcmp(&a[i].value, &b[i].value, 8) == 0);
	}
}

static void
test_what_goes_in_comes_out(void **state)
{
	struct block_point in[BLOCK_POINTS], out[BLOCK_POINTS];

	(void)state;
	for (unsigned turn = 0; turn < 4000; turn++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(BLOCK_BYTES_MAX);
		size_t n = turn < 300 ? turn % BLOCK_POINTS + 1 : 1 + roll(BLOCK_POINTS), got = 0;

		grow(in, n, (unsigned)roll(20));
		block_encode(&b, in, n);
		assert_int_equal(buf_error(&b), 0);
		assert_int_equal(block_decode(out, &got, b.data, b.len), 0);
		assert_int_equal(got, n);
		same(in, out, n);
	}
}

/* On average: what is drawn makes one larger and another smaller. */
static void
test_a_block_is_small(void **state)
{
	enum { BLOCKS = 100 };
	static const struct {
		const char *what;
		unsigned kind;
		double most; /* bytes a point */
	} rows[] = { { "a counter, every 15 s", 1, 2.0 }, { "a gauge that stands still", 1 | 2 << 2, 0.5 } };
	struct block_point in[BLOCK_POINTS];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t bytes = 0;

		for (size_t turn = 0; turn < BLOCKS; turn++) {
			SCOPED(buf_done) struct buf b = BUF_MAX(BLOCK_BYTES_MAX);

			grow(in, BLOCK_POINTS, rows[i].kind);
			for (size_t k = 0; rows[i].kind > 1 && k < BLOCK_POINTS; k++)
				in[k].value = 0.25;
			block_encode(&b, in, BLOCK_POINTS);
			bytes += b.len;
		}
		if ((double)bytes / BLOCKS / BLOCK_POINTS > rows[i].most)
			fail_msg("%s: %zu bytes in %d blocks", rows[i].what, bytes, BLOCKS);
	}
}

static void
test_what_is_no_block_is_refused(void **state)
{
	struct block_point in[BLOCK_POINTS], out[BLOCK_POINTS];
	SCOPED(buf_done) struct buf b = BUF_MAX(BLOCK_BYTES_MAX + 1);
	const struct block_point twice[2] = { { 5, 1 }, { 5, 2 } }, huge = { INT64_C(1) << 62, 1 };
	size_t n = 0;

	(void)state;
	grow(in, 200, 1 | 1 << 2);
	block_encode(&b, in, 200);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(block_decode(out, &n, b.data, len), REASON_MALFORMED);
	buf_u8(&b, 0);
	assert_int_equal(block_decode(out, &n, b.data, b.len), REASON_MALFORMED);
	b.data[0] = 2;
	assert_int_equal(block_decode(out, &n, b.data, b.len - 1), REASON_MALFORMED);
	b.data[0] = 1;
	b.data[1] = 2;
	assert_int_equal(block_decode(out, &n, b.data, b.len - 1), REASON_MALFORMED);
	buf_reset(&b);
	block_encode(&b, twice, 2);
	assert_int_equal(block_decode(out, &n, b.data, b.len), REASON_MALFORMED);
	buf_reset(&b);
	block_encode(&b, &huge, 1);
	assert_int_equal(block_decode(out, &n, b.data, b.len), REASON_MALFORMED);
	/* More points than there may be; none. */
	assert_int_equal(block_decode(out, &n, "\1\0\xf1\1................", 20), REASON_MALFORMED);
	assert_int_equal(block_decode(out, &n, "\1\0\0................", 19), REASON_MALFORMED);
	/* Whole numbers beyond what a double holds. */
	assert_int_equal(block_decode(out, &n, "\1\0\1\0\0\0\0\0\0\0\1\x7f\0\0\0\0\0\0\0", 19), REASON_MALFORMED);
	/* A value that differs within the frame of none before it. */
	assert_int_equal(block_decode(out, &n, "\1\1\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\x80\xc0", 21), REASON_MALFORMED);
	assert_int_equal(n, 0);
}

static void
test_damage_never_reads_or_writes_beyond(void **state)
{
	struct block_point in[BLOCK_POINTS], out[BLOCK_POINTS];

	(void)state;
	for (unsigned turn = 0; turn < 20000; turn++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(BLOCK_BYTES_MAX);
		size_t n;

		grow(in, 1 + turn % 40, (unsigned)roll(20));
		block_encode(&b, in, 1 + turn % 40);
		for (unsigned k = 0; k < 3; k++)
			b.data[roll(b.len)] ^= (uint8_t)(1u << roll(8));
		if (block_decode(out, &n, b.data, b.len) != 0)
			continue;
		assert_in_range(n, 1, BLOCK_POINTS);
		for (size_t i = 1; i < n; i++)
			assert_true(out[i].time_ms > out[i - 1].time_ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_a_block_is_small),
		cmocka_unit_test(test_what_is_no_block_is_refused),
		cmocka_unit_test(test_damage_never_reads_or_writes_beyond),
	};

	return cmocka_run_group_tests(tests, sow, NULL);
}
