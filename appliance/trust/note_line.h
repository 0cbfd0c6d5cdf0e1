/* The texts of transparency logs (C2SP: checkpoints, submissions to a witness, proofs) are lines; this reads
 * them.  Nothing is logged: the caller names what it misses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NOTE_LINE_NUMBER_MAX = 24, /* a number of as many bytes is none */
	NOTE_LINE_HASH_LEN = 32,
};

/* The next line of *at..end without its LF, *at then behind it; NULL where no line ends. */
const char *note_line_next(const char **at, const char *end, size_t *ret_len);

/* Decimal digits and nothing else, up to 2^63-1.  p may be NULL: false. */
bool note_line_number(uint64_t *ret, const char *p, size_t len);

/* base64 of exactly 32 bytes. */
bool note_line_hash(uint8_t out[NOTE_LINE_HASH_LEN], const char *p, size_t len);
