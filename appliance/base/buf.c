#include "appliance/base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"

void
buf_done(struct buf *b)
{
	free(b->data);
	*b = BUF_MAX(b->max);
}

void
buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->error = 0;
	if (b->data)
		b->data[0] = '\0';
}

/* Space for more bytes and the NUL.  Old contents are wiped when they move, for a buffer may hold a
 * secret and cannot know it. */
static int
grow(struct buf *b, size_t more)
{
	size_t want, cap;
	uint8_t *data;

	if (b->error)
		return b->error;
	if (more > b->max || b->len > b->max - more)
		return b->error = FAULT(-EMSGSIZE);
	want = b->len + more + 1;
	if (want <= b->cap)
		return 0;
	cap = b->cap ? b->cap : 64;
	while (cap < want)
		cap = cap > SIZE_MAX / 2 ? want : cap * 2;
	if (cap > b->max + 1 && b->max < SIZE_MAX)
		cap = b->max + 1;
	data = malloc(cap);
	if (!data)
		return b->error = FAULT(-ENOMEM);
	if (b->data) {
		memcpy(data, b->data, b->len + 1);
		explicit_bzero(b->data, b->len);
	}
	free(b->data);
	b->data = data;
	b->data[b->len] = '\0';
	b->cap = cap;
	return 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t len)
{
	return grow(b, len) == 0 ? b->data + b->len : NULL;
}

void
buf_advance(struct buf *b, size_t len)
{
	if (b->error || b->cap == 0)
		return;
	if (len >= b->cap - b->len) { /* more than was reserved: our own mistake, kept inside */
		b->error = FAULT(-EMSGSIZE);
		return;
	}
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_put(struct buf *b, const void *p, size_t len)
{
	if (len == 0 || grow(b, len) < 0)
		return;
	memcpy(b->data + b->len, p, len);
	buf_advance(b, len);
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void
buf_u16(struct buf *b, uint16_t v)
{
	buf_put(b, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

void
buf_u32(struct buf *b, uint32_t v)
{
	buf_u16(b, (uint16_t)(v >> 16));
	buf_u16(b, (uint16_t)v);
}

void
buf_u64(struct buf *b, uint64_t v)
{
	buf_u32(b, (uint32_t)(v >> 32));
	buf_u32(b, (uint32_t)v);
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	uint8_t *at;
	int n;

	if (b->error)
		return;
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		b->error = FAULT(-EINVAL);
		return;
	}
	at = buf_reserve(b, (size_t)n);
	if (!at)
		return;
	(void)vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
	buf_advance(b, (size_t)n);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_consume(struct buf *b, size_t n)
{
	if (b->len == 0 || n == 0)
		return;
	if (n > b->len)
		n = b->len;
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

int
buf_error(const struct buf *b)
{
	return b->error;
}

const char *
buf_text(const struct buf *b)
{
	return b->data ? (const char *)b->data : "";
}

char *
buf_take_text(struct buf *b)
{
	char *text = NULL;

	if (!b->error && (b->data || grow(b, 0) == 0)) {
		text = (char *)b->data;
		*b = BUF_MAX(b->max);
	}
	buf_done(b);
	return text;
}
