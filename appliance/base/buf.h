/* A growable buffer that is born with its maximum.
 *
 * Errors stick: the first that does not fit or finds no memory sets .error, later puts do nothing,
 * and the writer asks once with buf_error().  data may be NULL while len is 0; there is always a NUL
 * after the last byte once anything was put, so a text can be used as a C string. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* len bytes and a NUL; owned */
	size_t len;
	size_t cap;
	size_t max;    /* len never exceeds it */
	int error;     /* 0, -ENOMEM, or -EMSGSIZE where max was hit */
};

#define BUF_MAX(bytes) ((struct buf){ .max = (bytes) })

void buf_done(struct buf *b); /* frees; b is then empty with its old maximum */
void buf_wipe(struct buf *b); /* the same for secrets: overwrites first */
void buf_reset(struct buf *b); /* length 0, error cleared, memory kept */

void buf_put(struct buf *b, const void *p, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v); /* big endian, as all our own formats */
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Room for len more bytes at the end, not yet counted: NULL once an error stuck. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_advance(struct buf *b, size_t len); /* count what was written there */

/* Drop the first n bytes. */
void buf_consume(struct buf *b, size_t n);

int buf_error(const struct buf *b);      /* the stuck error, or 0 */
const char *buf_text(const struct buf *b); /* "" while empty */
char *buf_take_text(struct buf *b);      /* malloc'ed C string, caller frees; NULL on error */
