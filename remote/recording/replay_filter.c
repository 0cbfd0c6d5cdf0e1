#include "remote/recording/replay_filter.h"

#include <stdint.h>
#include <string.h>

#include "appliance/base/buf.h"

/* The character at p (valid UTF-8): its number, and how many bytes it has. */
static uint32_t
character(const char *text, size_t *ret_len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? *p : *p & (0xffu >> (n + 1));

	for (size_t i = 1; i < n && p[i] != '\0'; i++)
		c = c << 6 | (p[i] & 0x3f);
	*ret_len = strnlen(text, n);
	return c;
}

/* Marks and overrides of direction: a line could read otherwise than it is. */
static bool
turns(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static void
put_text(struct replay_filter *f, const char *p, size_t len, uint32_t c, struct buf *out)
{
	f->state = REPLAY_TEXT;
	if (c == '\r')
		f->state = REPLAY_RETURN;
	else if (c == 0x1b)
		f->state = REPLAY_ESCAPE;
	else if (c == '\n' || c == '\t')
		buf_put(out, p, len);
	else if (c < 0x20 || c == 0x7f)
		buf_printf(out, "^%c", (char)(c ^ 0x40));
	else if ((c >= 0x80 && c < 0xa0) || turns(c))
		buf_printf(out, "<U+%04X>", (unsigned)c);
	else
		buf_put(out, p, len);
}

/* No colour after all: shown as it is. */
static void
give_up(struct replay_filter *f, struct buf *out)
{
	if (f->state == REPLAY_RETURN)
		buf_puts(out, "\n");
	if (f->state == REPLAY_ESCAPE || f->state == REPLAY_COLOUR)
		buf_puts(out, "^[");
	if (f->state == REPLAY_COLOUR) {
		buf_puts(out, "[");
		buf_put(out, f->numbers, f->n);
	}
	f->state = REPLAY_TEXT;
	f->n = 0;
}

static void
put(struct replay_filter *f, const char *p, size_t len, uint32_t c, struct buf *out)
{
	if (f->state == REPLAY_RETURN && c == '\n') {
		buf_puts(out, "\n");
		f->state = REPLAY_TEXT;
		return;
	}
	if (f->state == REPLAY_ESCAPE && c == '[') {
		f->state = REPLAY_COLOUR;
		return;
	}
	if (f->state == REPLAY_COLOUR) {
		if (((c >= '0' && c <= '9') || c == ';') && f->n < REPLAY_COLOUR_MAX) {
			f->numbers[f->n++] = (char)c;
			return;
		}
		if (c == 'm') {
			buf_puts(out, "\x1b[");
			buf_put(out, f->numbers, f->n);
			buf_puts(out, "m");
			f->coloured = true;
			f->state = REPLAY_TEXT;
			f->n = 0;
			return;
		}
	}
	give_up(f, out);
	put_text(f, p, len, c, out);
}

void
replay_filter_put(struct replay_filter *f, const char *text, struct buf *out)
{
	while (*text) {
		size_t len;
		uint32_t c = character(text, &len);

		put(f, text, len, c, out);
		text += len;
	}
}

void
replay_filter_end(struct replay_filter *f, struct buf *out)
{
	give_up(f, out);
	if (f->coloured)
		buf_puts(out, "\x1b[0m");
	f->coloured = false;
}
