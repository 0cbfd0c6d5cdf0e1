#include "remote/recording/recording_text.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define NUL_SYMBOL "\xe2\x90\x80"  /* U+2400 */

/* The character at p: its bytes; 0 where there is none (overlong, surrogate, beyond U+10FFFF); -1 where what there is
 * could begin one. */
static int
character(const uint8_t *p, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (i == left)
			return -1;
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : (int)n;
}

static void
put_ascii(struct buf *out, uint8_t c)
{
	switch (c) {
	case '\0':
		buf_puts(out, NUL_SYMBOL);
		break;
	case '\n':
		buf_puts(out, "\\n");
		break;
	case '\r':
		buf_puts(out, "\\r");
		break;
	case '\t':
		buf_puts(out, "\\t");
		break;
	case '"':
	case '\\':
		buf_u8(out, '\\');
		buf_u8(out, c);
		break;
	default:
		if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_u8(out, c);
	}
}

/* How many bytes were used: all but the beginning of a last character. */
static size_t
put(const uint8_t *p, size_t len, bool end, struct buf *out)
{
	size_t at = 0;

	while (at < len) {
		int n = character(p + at, len - at);

		if (n < 0 && !end)
			break;
		if (n <= 0)
			buf_puts(out, REPLACEMENT);
		else if (n == 1)
			put_ascii(out, p[at]);
		else
			buf_put(out, p + at, (size_t)n);
		at += n > 0 ? (size_t)n : 1;
	}
	return at;
}

int
recording_text_put(struct recording_text *t, const void *p, size_t len, bool end, struct buf *out)
{
	SCOPED(buf_done) struct buf all = BUF_MAX(sizeof(t->rest) + len);
	size_t used;

	buf_put(&all, t->rest, t->n);
	buf_put(&all, p, len);
	if (buf_error(&all))
		return FAULT(buf_error(&all));
	if (all.len == 0)
		return 0;
	used = put(all.data, all.len, end, out);
	t->n = all.len - used;
	memcpy(t->rest, all.data + used, t->n);
	return FAULT(buf_error(out));
}
