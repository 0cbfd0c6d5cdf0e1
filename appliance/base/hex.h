/* Hexadecimal and base64 (RFC 4648, padded, no line breaks).  Decoders are strict: lower-case hex
 * only, canonical padding, no white space. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* out has 2 * len + 1 bytes.  Returns out. */
char *hex_encode(char *out, const void *p, size_t len);
/* Decodes text of exactly 2 * len digits into out; false where it is anything else. */
bool hex_decode(void *out, size_t len, const char *text);

#define HEX_BASE64_MAX(len) (((len) + 2) / 3 * 4 + 1)

void hex_base64(struct buf *out, const void *p, size_t len);
/* The same as text to where there is room for HEX_BASE64_MAX(len), without any memory of its own.  Returns out. */
char *hex_base64_into(char *out, const void *p, size_t len);
/* Appends the decoded bytes; false where text is not strict base64 or out took no more (out may then hold a
 * part: buf_error() tells the one from the other). */
bool hex_unbase64(struct buf *out, const char *text, size_t len);
/* The same to where there is room for size bytes, without any memory of its own; false also where they are more. */
bool hex_unbase64_into(void *out, size_t size, size_t *ret_len, const char *text, size_t len);
