/* Which target paths a delegation's pattern names (specification 1.0.34, 4.5: PATHPATTERN, after glob(7)).
 *
 * Segment by segment: both have as many, and no wildcard crosses a "/".  '*' any characters, '?' one, "[a-c_]" one of
 * these, "[!a]" one of all others, "[]a]" also ']'; a '[' without its ']' stands for itself, and so does every other
 * character, '\' among them.  A leading '.' is nothing special, capitals are other letters.  Characters are those of
 * UTF-8; what is no UTF-8 is taken byte by byte.  The same on every machine: fnmatch() depends on the locale. */
#pragma once

#include <stdbool.h>

/* Whether the whole path matches.  Needs time of at most the product of both lengths; any text is safe. */
bool pattern_match(const char *pattern, const char *path);
