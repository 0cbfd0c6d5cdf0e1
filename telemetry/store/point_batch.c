#include "telemetry/store/point_batch.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/refuse.h"

#define WHOLE_MAX 9007199254740992.0

static uint64_t
folded(int64_t v)
{
	return (uint64_t)v << 1 ^ (v < 0 ? ~UINT64_C(0) : 0);
}

static int64_t
unfolded(uint64_t v)
{
	return (int64_t)(v >> 1 ^ (v & 1 ? ~UINT64_C(0) : 0));
}

static uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static uint64_t
get_varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = cursor_u8(c);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return v;
	}
	cursor_fail(c);
	return 0;
}

static bool
is_whole(double v)
{
	return fabs(v) <= WHOLE_MAX && v == (double)(int64_t)v && !(v == 0 && signbit(v));
}

void
point_batch_encode(struct buf *out, const struct point_batch_item *items, size_t n)
{
	int64_t series = 0, time_ms = 0;

	for (size_t i = 0; i < n; i++) {
		const struct point_batch_item *it = &items[i];
		uint8_t *from = buf_reserve(out, 30), *p = from;
		bool whole = is_whole(it->value);

		if (!from)
			return;
		p = put_varint(p, folded(it->series - series));
		/* Times are within 2^61: one bit more fits. */
		p = put_varint(p, folded(it->time_ms - time_ms) << 1 | whole);
		series = it->series;
		time_ms = it->time_ms;
		if (whole) {
			p = put_varint(p, folded((int64_t)it->value));
		} else {
			memcpy(p, &it->value, 8);
			p += 8;
		}
		buf_advance(out, (size_t)(p - from));
	}
}

int
point_batch_decode(const void *data, size_t len, int (*take)(const struct point_batch_item *item, void *arg), void *arg)
{
	struct cursor c = CURSOR(data, len);
	struct point_batch_item it = { 0 };
	uint64_t v;
	int r = 0;

	while (r == 0 && cursor_left(&c) > 0) {
		it.series = (int64_t)((uint64_t)it.series + (uint64_t)unfolded(get_varint(&c)));
		v = get_varint(&c);
		it.time_ms = (int64_t)((uint64_t)it.time_ms + (uint64_t)unfolded(v >> 1));
		if (v & 1) {
			it.value = (double)unfolded(get_varint(&c));
		} else {
			v = cursor_le64(&c);
			memcpy(&it.value, &v, sizeof(v));
		}
		if (c.failed)
			return REASON_MALFORMED;
		r = take(&it, arg);
	}
	return r;
}
