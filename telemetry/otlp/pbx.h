/* Protobuf, read without copying and written without measuring first.
 *
 *	struct pbx m = PBX(p, len);
 *	struct pbx_field f;
 *	while (pbx_next(&m, &f))
 *		switch (f.number) { case 1: name = pbx_text(&m, &f); ... }
 *	if (m.in.failed) malformed
 *
 * Errors stick in the reader's cursor; a field of another wire type than asked fails it. */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/cursor.h"

struct buf;

enum pbx_wire {
	PBX_WIRE_VARINT = 0,
	PBX_WIRE_FIXED64 = 1,
	PBX_WIRE_BYTES = 2,
	PBX_WIRE_GROUP = 3,
	PBX_WIRE_GROUP_END = 4,
	PBX_WIRE_FIXED32 = 5,
};

enum { PBX_GROUPS_MAX = 32, PBX_FIELD_MAX = (1 << 29) - 1 };

struct pbx {
	struct cursor in;
};

#define PBX(data, len) ((struct pbx){ .in = CURSOR(data, len) })

struct pbx_field {
	uint32_t number;
	enum pbx_wire wire;    /* VARINT, FIXED64, BYTES or FIXED32 */
	uint64_t scalar;       /* all but BYTES */
	struct cursor bytes;   /* BYTES */
	const uint8_t *at;     /* where its tag begins */
};

/* The next field; groups are skipped.  false at the end or on failure (m->in.failed). */
bool pbx_next(struct pbx *m, struct pbx_field *f);

/* The field's value; a wrong wire type fails the message and gives 0. */
uint64_t pbx_varint(struct pbx *m, const struct pbx_field *f);
uint64_t pbx_fixed64(struct pbx *m, const struct pbx_field *f);
uint32_t pbx_fixed32(struct pbx *m, const struct pbx_field *f);
double pbx_double(struct pbx *m, const struct pbx_field *f);
struct pbx pbx_message(struct pbx *m, const struct pbx_field *f);

/* Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool pbx_is_utf8(const uint8_t *p, size_t len);

/* --- writing: errors stick in the buffer ----------------------------------------------------------- */
void pbx_put_varint(struct buf *out, uint32_t number, uint64_t v);
void pbx_put_fixed64(struct buf *out, uint32_t number, uint64_t v);
void pbx_put_double(struct buf *out, uint32_t number, double v);
void pbx_put_bytes(struct buf *out, uint32_t number, const void *p, size_t len);
void pbx_put_text(struct buf *out, uint32_t number, const char *text);

/* A nested message: open gives a mark, close writes the length there (moving the body by as many
 * bytes as the length needs beyond one). */
size_t pbx_open(struct buf *out, uint32_t number);
void pbx_close(struct buf *out, size_t mark);

/* The same for what is expected to be long (16 KiB to 2 MiB): then nothing is moved. */
size_t pbx_open_long(struct buf *out, uint32_t number);
void pbx_close_long(struct buf *out, size_t mark);

/* Storing where the caller measured and reserved: each returns the place behind what it stored.  Field
 * numbers below 16; pbx_store_bytes() stores tag and length, the caller the body. */
static inline size_t
pbx_varint_bytes(uint64_t v)
{
	return 1 + (63 - (size_t)__builtin_clzll(v | 1)) / 7;
}

static inline uint8_t *
pbx_store_varint(uint8_t *at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)(v | 0x80);
	*at++ = (uint8_t)v;
	return at;
}

static inline uint8_t *
pbx_store_bytes(uint8_t *at, uint32_t number, size_t len)
{
	*at++ = (uint8_t)(number << 3 | PBX_WIRE_BYTES);
	return pbx_store_varint(at, len);
}

static inline uint8_t *
pbx_store_fixed64(uint8_t *at, uint32_t number, uint64_t v)
{
	uint64_t le = htole64(v);

	*at++ = (uint8_t)(number << 3 | PBX_WIRE_FIXED64);
	memcpy(at, &le, sizeof(le));
	return at + sizeof(le);
}
