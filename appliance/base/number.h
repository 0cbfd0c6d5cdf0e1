/* Whole numbers from text: all of the text, decimal, no sign but for a leading '-' where signed, no
 * leading zeros, no spaces.  Return 0, or REASON_MALFORMED (unlogged: the caller names the operand). */
#pragma once

#include <stdint.h>

/* From 0 to max; from min to max.  *ret is written only where 0 is returned; text may be NULL, which is malformed. */
int number_u64(uint64_t *ret, const char *text, uint64_t max);
int number_i64(int64_t *ret, const char *text, int64_t min, int64_t max);

/* Bytes: "64kb", "10m", "1g", "2t", in either case, or plain ("4096", "4096b"); powers of 1024.  As the above; malformed
 * also where it is more than 64 bits hold. */
int number_size(uint64_t *ret, const char *text);

/* The same for people: "64 MiB" where that is exact, else "67108865 bytes".  Returns out. */
enum { NUMBER_SIZE_MAX = 32 };
const char *number_size_text(char out[NUMBER_SIZE_MAX], uint64_t bytes);
