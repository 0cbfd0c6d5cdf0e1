/* Patterns of delegations against paths. */
#include "appliance/tuf/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/scope.h"

static const struct {
	const char *name, *pattern, *path;
	bool matches;
} rows[] = {
	{ "a file by its name", "a/b", "a/b", true },
	{ "another name", "a/b", "a/c", false },
	{ "a longer path", "a/b", "a/bc", false },
	{ "a shorter path", "a/b", "a/", false },
	{ "capitals are other letters", "A/b", "a/b", false },
	{ "a star is any characters", "a/*.tgz", "a/foo.tgz", true },
	{ "a star is no character, too", "a*", "a", true },
	{ "two stars are one", "a**b", "ab", true },
	{ "a star does not cross a slash", "*", "a/b", false },
	{ "two stars do not, either", "**", "a/b", false },
	{ "a star goes on where the first fit failed", "*abc", "ababc", true },
	{ "and only within its segment", "*b/c", "ab/cb/c", false },
	{ "a star in each segment", "*/x*/*", "a/xy/", true },
	{ "what follows the last star must be there", "*a", "ab", false },
	{ "a question mark is one character", "a?", "ab", true },
	{ "not none", "a?", "a", false },
	{ "not two", "a?", "abc", false },
	{ "not a slash", "a?b", "a/b", false },
	{ "one of two bytes", "?", "\xc3\xa9", true },
	{ "one of three bytes", "?", "\xe4\xb8\xad", true },
	{ "one of four bytes", "?", "\xf0\x9f\x98\x80", true },
	{ "not two of one that has two bytes", "??", "\xc3\xa9", false },
	{ "bytes that are no character count each", "??", "\xc3\xc3", true },
	{ "bytes that begin none", "???", "\xff\xc1\x80", true },
	{ "a character cut short is not the whole", "\xc3", "\xc3\xa9", false },
	{ "nor another of the same number", "\xc3", "\xc3\xc3", false },
	{ "a cut one is itself", "\xe4\xb8", "\xe4\xb8", true },
	{ "an overlong slash is no slash", "a/b", "a\xc0\xaf""b", false },
	{ "one of a set", "[abc]", "b", true },
	{ "none of a set", "[abc]", "d", false },
	{ "a range", "[a-c]x", "cx", true },
	{ "beyond a range", "[a-c]", "d", false },
	{ "before a range", "[b-c]", "a", false },
	{ "a range of other letters", "[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true },
	{ "a range that runs back", "[c-a]", "b", false },
	{ "all but a set", "[!a]", "b", true },
	{ "the set that is left out", "[!a]", "a", false },
	{ "a set is no slash, even all but one", "a[!x]b", "a/b", false },
	{ "a bracket in a set", "[]a]", "]", true },
	{ "a bracket left out of a set", "[!]a]", "]", false },
	{ "a dash at the end of a set", "[a-]", "-", true },
	{ "a dash at its beginning", "[-a]", "-", true },
	{ "a star in a set is itself", "[*]", "*", true },
	{ "and nothing else", "[*]", "a", false },
	{ "a bracket without its end", "[a", "[a", true },
	{ "a bracket alone", "[", "[", true },
	{ "an empty set is none", "[]", "[]", true },
	{ "a set does not reach over a slash", "[a/b]", "[a/b]", true },
	{ "so it has nothing of it", "[a/b]", "a", false },
	{ "a backslash is itself", "a\\*", "a\\b", true },
	{ "and takes nothing away", "a\\*", "a*", false },
	{ "a hidden file", "*", ".hidden", true },
	{ "an empty pattern", "", "a", false },
	{ "an empty path", "a", "", false },
	{ "both empty", "", "", true },
	{ "a star and nothing", "*", "", true },
	{ "a slash more in the pattern", "a/", "a", false },
	{ "a slash more in the path", "a", "a/", false },
	{ "an empty segment", "a/*/b", "a//b", true },
	{ "a pattern that goes on", "a/b", "a", false },
};

static void
each_pattern(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (pattern_match(rows[i].pattern, rows[i].path) != rows[i].matches)
			fail_msg("%s", rows[i].name);
	}
}

/* A matcher that goes back to each star would not end within the age of the universe. */
static void
many_stars_end(void **state)
{
	char pattern[512], path[512];

	(void)state;
	for (size_t i = 0; i < 500; i++) {
		pattern[i] = i % 2 ? '*' : 'a';
		path[i] = 'a';
	}
	pattern[500] = 'b';
	pattern[501] = path[500] = '\0';
	assert_false(pattern_match(pattern, path));
	pattern[500] = '\0';
	assert_true(pattern_match(pattern, path));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pattern),
		cmocka_unit_test(many_stars_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
