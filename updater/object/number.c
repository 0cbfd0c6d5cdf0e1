#include "updater/object/number.h"

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"

void
number_put(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_u8(out, (uint8_t)(v | 0x80));
	buf_u8(out, (uint8_t)v);
}

uint64_t
number_get(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63; shift += 7) {
		uint8_t b = cursor_u8(c);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (b & 0x80)
			continue;
		if (b == 0 && shift > 0)
			cursor_fail(c); /* it has a shorter form */
		return v;
	}
	cursor_fail(c);
	return 0;
}
