/* Whole numbers from text: all of the text, decimal, no sign but for a leading '-' where signed, no
 * leading zeros, no spaces.  Return 0, or REASON_MALFORMED (unlogged: the caller names the operand). */
#pragma once

#include <stdint.h>

int number_u64(uint64_t *ret, const char *text, uint64_t max);
int number_i64(int64_t *ret, const char *text, int64_t min, int64_t max);

/* "64kb", "10m", "1g", or plain bytes; powers of 1024. */
int number_size(uint64_t *ret, const char *text);
