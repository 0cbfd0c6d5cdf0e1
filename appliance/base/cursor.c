#include "appliance/base/cursor.h"

#include <stddef.h>
#include <string.h>

static uint64_t
big_endian(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t
little_endian(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);
	uint64_t v = 0;

	for (size_t i = n; p && i > 0; i--)
		v = v << 8 | p[i - 1];
	return v;
}

uint8_t
cursor_u8(struct cursor *c)
{
	return (uint8_t)big_endian(c, 1);
}

uint16_t
cursor_u16(struct cursor *c)
{
	return (uint16_t)big_endian(c, 2);
}

uint32_t
cursor_u32(struct cursor *c)
{
	return (uint32_t)big_endian(c, 4);
}

uint64_t
cursor_u64(struct cursor *c)
{
	return big_endian(c, 8);
}

uint32_t
cursor_le32(struct cursor *c)
{
	return (uint32_t)little_endian(c, 4);
}

uint64_t
cursor_le64(struct cursor *c)
{
	return little_endian(c, 8);
}

const uint8_t *
cursor_bytes(struct cursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->failed || cursor_left(c) < len) {
		c->failed = true;
		return NULL;
	}
	/* Nothing to point at, yet not a failure: an empty input may have no address. */
	if (len == 0)
		return p ? p : (const uint8_t *)"";
	c->p += len;
	return p;
}

struct cursor
cursor_sub(struct cursor *c, size_t len)
{
	const uint8_t *p = cursor_bytes(c, len);

	if (!p)
		return (struct cursor){ .failed = true };
	return (struct cursor){ .p = p, .end = p + len };
}

struct cursor
cursor_string(struct cursor *c)
{
	return cursor_sub(c, cursor_u32(c));
}

bool
cursor_is(const struct cursor *c, const char *text)
{
	size_t len = strlen(text);

	return cursor_left(c) == len && (len == 0 || memcmp(c->p, text, len) == 0);
}

size_t
cursor_left(const struct cursor *c)
{
	return c->failed || !c->p ? 0 : (size_t)(c->end - c->p);
}

void
cursor_fail(struct cursor *c)
{
	c->failed = true;
}

bool
cursor_done(const struct cursor *c)
{
	return !c->failed && cursor_left(c) == 0;
}
