/* Points of one series, packed: the form in which the hub keeps them.
 *
 *	u8 1 · u8 form · varint n · bits
 *
 * Bits, the highest first: the first time (64), the first value (64), then for each further point the change of the distance
 * in time (0: none; 10: 7 bits; 110: 9; 1110: 12; 11110: 32; 11111: 64) and the value: of whole numbers (form 0) in the same way, of
 * others (form 1) the XOR with the value before (0: the same; 10: within the bits that differed before; 11: 6 bits how many
 * lead, 6 bits how many less one differ).  After Pelkonen et al., "Gorilla" (VLDB 2015). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	BLOCK_POINTS = 240,		      /* of a block that is full */
	BLOCK_BYTES_MAX = 32 + 20 * BLOCK_POINTS, /* that no block exceeds */
};

/* A value that is not a number says: from here on there is none.  All of them are kept as one. */
struct block_point {
	int64_t time_ms;
	double value;
};

/* Append n points, 1 to BLOCK_POINTS, their times ascending, none equal, within ±2^61.  Errors stick in out. */
void block_encode(struct buf *out, const struct block_point *points, size_t n);

/* Read a block; out has room for BLOCK_POINTS.  Returns 0 with *ret_n, or REASON_MALFORMED (unlogged) for anything that
 * block_encode() does not write. */
int block_decode(struct block_point *out, size_t *ret_n, const void *p, size_t len);
