/* The one reader of bytes from outside.  Errors stick: a parser reads straight down and asks once
 * with cursor_done(), for which short input and bytes left over are both malformed.
 *
 * Nothing is copied or allocated: the bytes are borrowed, and outlive the cursor and all that was read of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *p;
	const uint8_t *end;
	bool failed; /* once set, every read gives 0 or NULL */
};

static inline struct cursor
cursor_over(const void *data, size_t len)
{
	const uint8_t *p = data;

	/* An empty input may be NULL, to which nothing can be added, not even 0. */
	return (struct cursor){ .p = p, .end = len ? p + len : p };
}
#define CURSOR(data, len) cursor_over((data), (len))

/* The next number, past which the cursor then stands; 0 (and failed) where there are fewer bytes. */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c); /* big endian */
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint32_t cursor_le32(struct cursor *c);
uint64_t cursor_le64(struct cursor *c);

/* len bytes, borrowed from the input; NULL (and failed) where there are fewer. */
const uint8_t *cursor_bytes(struct cursor *c, size_t len);

/* A cursor over the next len bytes; empty and failed where there are fewer. */
struct cursor cursor_sub(struct cursor *c, size_t len);

/* The same for bytes behind their own length in 32 bits, as SSH writes its strings. */
struct cursor cursor_string(struct cursor *c);

/* true where exactly this text is left. */
bool cursor_is(const struct cursor *c, const char *text);

/* Bytes not read yet. */
size_t cursor_left(const struct cursor *c);
/* What was read is wrong for the parser: from now on as if the input were short. */
void cursor_fail(struct cursor *c);

/* true where everything went well and nothing is left. */
bool cursor_done(const struct cursor *c);
