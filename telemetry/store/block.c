#include "telemetry/store/block.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { VERSION = 1, WHOLE = 0, REAL = 1 };
#define TIME_MAX (INT64_C(1) << 61)
#define WHOLE_MAX 9007199254740992.0 /* up to which a double holds every whole number */

static const uint64_t no_value = UINT64_C(0x7ff8000000000000);

static uint64_t
bits_of(double v)
{
	uint64_t b;

	if (isnan(v))
		return no_value;
	memcpy(&b, &v, sizeof(b));
	return b;
}

static double
value_of(uint64_t b)
{
	double v;

	memcpy(&v, &b, sizeof(v));
	return v;
}

/* --- bits out ------------------------------------------------------------------------------------------- */
struct writer {
	uint8_t bytes[BLOCK_BYTES_MAX];
	size_t n;
	uint64_t hold; /* the lowest `held` bits wait */
	unsigned held;
};

static void
put_bits(struct writer *w, uint64_t v, unsigned n)
{
	if (n > 32) {
		put_bits(w, v >> 32, n - 32);
		n = 32;
	}
	w->hold = w->hold << n | (v & ((UINT64_C(1) << n) - 1));
	w->held += n;
	while (w->held >= 8) {
		w->held -= 8;
		w->bytes[w->n++] = (uint8_t)(w->hold >> w->held);
	}
}

/* How a signed number is written: the prefix and how many bits behind it. */
static const struct step {
	unsigned prefix, prefix_len, bits;
} steps[] = { { 0x2, 2, 7 }, { 0x6, 3, 9 }, { 0xe, 4, 12 }, { 0x1e, 5, 32 }, { 0x1f, 5, 64 } };

static void
put_change(struct writer *w, int64_t v)
{
	if (v == 0) {
		put_bits(w, 0, 1);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *s = &steps[i];
		int64_t half = INT64_C(1) << (s->bits - 1 < 62 ? s->bits - 1 : 62);

		if (s->bits < 64 && (v < -half || v >= half))
			continue;
		put_bits(w, s->prefix, s->prefix_len);
		put_bits(w, (uint64_t)v, s->bits);
		return;
	}
}

/* Where the last XOR that brought its own frame differed. */
struct frame {
	unsigned lead, len; /* len 0: none yet */
};

static void
put_xor(struct writer *w, struct frame *f, uint64_t x)
{
	unsigned lead, trail;

	if (x == 0) {
		put_bits(w, 0, 1);
		return;
	}
	lead = (unsigned)__builtin_clzll(x);
	trail = (unsigned)__builtin_ctzll(x);
	if (f->len > 0 && lead >= f->lead && trail >= 64 - f->lead - f->len) {
		put_bits(w, 0x2, 2);
	} else {
		f->lead = lead;
		f->len = 64 - lead - trail;
		put_bits(w, 0x3, 2);
		put_bits(w, lead, 6);
		put_bits(w, f->len - 1, 6);
	}
	put_bits(w, x >> (64 - f->lead - f->len), f->len);
}

static bool
are_whole(const struct block_point *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs(p[i].value) <= WHOLE_MAX) || p[i].value != (double)(int64_t)p[i].value ||
			(p[i].value == 0 && signbit(p[i].value)))
			return false;
	return true;
}

static void
put_times_and_values(struct writer *w, const struct block_point *p, size_t n, bool whole)
{
	struct frame f = { 0 };
	int64_t distance = 0, change = 0;

	put_bits(w, (uint64_t)p[0].time_ms, 64);
	put_bits(w, whole ? (uint64_t)(int64_t)p[0].value : bits_of(p[0].value), 64);
	for (size_t i = 1; i < n; i++) {
		int64_t now = p[i].time_ms - p[i - 1].time_ms;

		put_change(w, now - distance);
		distance = now;
		if (whole) {
			now = (int64_t)p[i].value - (int64_t)p[i - 1].value;
			put_change(w, now - change);
			change = now;
		} else {
			put_xor(w, &f, bits_of(p[i].value) ^ bits_of(p[i - 1].value));
		}
	}
	if (w->held > 0)
		put_bits(w, 0, 8 - w->held);
}

void
block_encode(struct buf *out, const struct block_point *points, size_t n)
{
	bool whole = are_whole(points, n);
	struct writer w;

	w.n = w.held = 0;
	w.hold = 0;
	buf_u8(out, VERSION);
	buf_u8(out, whole ? WHOLE : REAL);
	if (n >= 0x80)
		buf_u8(out, (uint8_t)(n | 0x80));
	buf_u8(out, (uint8_t)(n >= 0x80 ? n >> 7 : n));
	put_times_and_values(&w, points, n, whole);
	buf_put(out, w.bytes, w.n);
}

/* --- bits in ---------------------------------------------------------------------------------------------- */
struct reader {
	const uint8_t *p, *end;
	uint64_t hold; /* the highest `held` bits are next */
	unsigned held;
	bool failed;
};

static uint64_t
get_bits(struct reader *r, unsigned n)
{
	uint64_t v;

	if (n > 32) {
		v = get_bits(r, n - 32) << 32;
		return v | get_bits(r, 32);
	}
	while (r->held < n) {
		if (r->p == r->end) {
			r->failed = true;
			return 0;
		}
		r->held += 8;
		r->hold |= (uint64_t)*r->p++ << (64 - r->held);
	}
	if (n == 0)
		return 0;
	v = r->hold >> (64 - n);
	r->hold <<= n;
	r->held -= n;
	return v;
}

static int64_t
get_change(struct reader *r)
{
	size_t i = 0;
	uint64_t v;

	if (!get_bits(r, 1))
		return 0;
	while (i < ARRAY_LEN(steps) - 1 && get_bits(r, 1))
		i++;
	v = get_bits(r, steps[i].bits);
	/* The sign goes on upwards. */
	if (steps[i].bits < 64 && v >> (steps[i].bits - 1))
		v |= ~UINT64_C(0) << steps[i].bits;
	return (int64_t)v;
}

static uint64_t
get_xor(struct reader *r, struct frame *f)
{
	if (!get_bits(r, 1))
		return 0;
	if (get_bits(r, 1)) {
		f->lead = (unsigned)get_bits(r, 6);
		f->len = (unsigned)get_bits(r, 6) + 1;
	}
	if (f->len == 0 || f->lead + f->len > 64) {
		r->failed = true;
		return 0;
	}
	return get_bits(r, f->len) << (64 - f->lead - f->len);
}

/* Whole numbers wrap where a block is none of ours; the check of their size finds that. */
static void
get_times_and_values(struct reader *r, struct block_point *out, size_t n, bool whole)
{
	uint64_t time = get_bits(r, 64), value = get_bits(r, 64), distance = 0, change = 0;
	struct frame f = { 0 };

	for (size_t i = 0; !r->failed; i++) {
		out[i].time_ms = (int64_t)time;
		out[i].value = whole ? (double)(int64_t)value : value_of(value);
		if (out[i].time_ms < -TIME_MAX || out[i].time_ms > TIME_MAX ||
			(i > 0 && out[i].time_ms <= out[i - 1].time_ms) || (whole && fabs(out[i].value) > WHOLE_MAX))
			r->failed = true;
		if (i + 1 == n)
			return;
		distance += (uint64_t)get_change(r);
		time += distance;
		if (whole) {
			change += (uint64_t)get_change(r);
			value += change;
		} else {
			value ^= get_xor(r, &f);
		}
	}
}

int
block_decode(struct block_point *out, size_t *ret_n, const void *p, size_t len)
{
	const uint8_t *b = p;
	struct reader r;
	size_t n, head = 3;

	if (len < 4 || b[0] != VERSION || b[1] > REAL)
		return REASON_MALFORMED;
	n = b[2];
	if (n & 0x80) {
		n = (n & 0x7f) | (size_t)b[3] << 7;
		head = 4;
	}
	if (n == 0 || n > BLOCK_POINTS)
		return REASON_MALFORMED;
	r = (struct reader){ .p = b + head, .end = b + len };
	get_times_and_values(&r, out, n, b[1] == WHOLE);
	/* Nothing but the rest of the last byte is left, and that is empty. */
	if (r.failed || r.p != r.end || r.held >= 8 || r.hold != 0)
		return REASON_MALFORMED;
	*ret_n = n;
	return 0;
}
