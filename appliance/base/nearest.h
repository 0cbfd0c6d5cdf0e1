/* "Did you mean": the word of a list that is nearest to what somebody typed. */
#pragma once

#include <stddef.h>

/* The nearest of names[n], or NULL where none is near (a few letters apart, or one begins with the
 * other).  Borrowed from names. */
const char *nearest_word(const char *word, const char *const names[], size_t n);
