#include "appliance/tuf/pattern.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The character at p, which goes on behind it; a byte that begins none is taken alone. */
static uint32_t
next(const char **p)
{
	const unsigned char *s = (const unsigned char *)*p;
	int more = *s >= 0xf0 && *s < 0xf8 ? 3 : *s >= 0xe0 ? 2 : *s >= 0xc2 ? 1 : 0;
	uint32_t c = *s;

	if (*s >= 0xf8)
		more = 0;
	if (more)
		c &= 0x3fu >> more;
	for (int i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			++*p;
			return 0x80000000u | *s; /* like no character that there is */
		}
		c = c << 6 | (s[i] & 0x3fu);
	}
	*p += more + 1;
	return c;
}

/* Where the set that begins at p (at its '[') ends, or NULL: then it is none. */
static const char *
set_end(const char *p)
{
	p++;
	if (*p == '!')
		p++;
	if (*p == ']')
		p++;
	while (*p && *p != '/' && *p != ']')
		p++;
	return *p == ']' ? p : NULL;
}

static bool
set_has(const char *p, const char *end, uint32_t c)
{
	bool not = p[1] == '!', has = false;

	p += not ? 2 : 1;
	while (p < end) {
		uint32_t from = next(&p), to = from;

		if (*p == '-' && p + 1 < end) {
			p++;
			to = next(&p);
		}
		has = has || (from <= c && c <= to);
	}
	return has != not ;
}

/* One character of the path against one of the pattern (no '*'); both go on where they fit. */
static bool
step(const char **pattern, const char **path)
{
	const char *p = *pattern, *s = *path, *end;
	uint32_t c;

	if (!*p || !*s || *s == '/')
		return false; /* also a "/" of the pattern: the caller counts segments */
	c = next(&s);
	end = *p == '[' ? set_end(p) : NULL;
	if (end) {
		if (!set_has(p, end, c))
			return false;
		p = end + 1;
	} else if (*p == '?') {
		p++;
	} else if (next(&p) != c) {
		return false;
	}
	*pattern = p;
	*path = s;
	return true;
}

/* One segment; both go on to its end where it matches.  Only the last '*' is ever returned to: what an earlier one
 * could give, it can. */
static bool
match_segment(const char **pattern, const char **path)
{
	const char *p = *pattern, *s = *path, *star = NULL, *from = NULL;

	while (*s && *s != '/') {
		if (*p == '*') {
			star = ++p;
			from = s;
		} else if (!step(&p, &s)) {
			if (!star)
				return false;
			p = star;
			(void)next(&from);
			s = from;
		}
	}
	while (*p == '*')
		p++;
	*pattern = p;
	*path = s;
	return !*p || *p == '/';
}

bool
pattern_match(const char *pattern, const char *path)
{
	while (match_segment(&pattern, &path)) {
		if (*pattern != *path)
			return false;
		if (!*pattern)
			return true;
		pattern++;
		path++;
	}
	return false;
}
