/* Patterns of knobs and arguments: POSIX extended regular expressions without what makes them dear or
 * ambiguous, matched in time and memory that grow with pattern times value.
 *
 * The C library's own take "a)|(.*" for an alternative within its caller's "^(...)$", and twenty "+" one
 * inside the other for a reason to take a gigabyte; a release that is signed may hold either.
 *
 * What there is: printable ASCII that means itself, "." any byte, "[a-z]" "[^...]" "[[:alpha:]]", "(...)",
 * "|", "*", "+", "?", and "\" before a mark that shall mean itself.  What there is not: "{" counts, back
 * references, classes like \w, and "^" or "$": it is always the whole value that is meant. */
#pragma once

#include <stdbool.h>

enum { DEFINITION_PATTERN_MAX = 256 };

/* Why this can be no pattern, in words; NULL: it can. */
const char *definition_pattern_check(const char *pattern);

/* Does the whole text match?  A pattern that definition_pattern_check() does not take matches nothing. */
bool definition_pattern_match(const char *pattern, const char *text);
