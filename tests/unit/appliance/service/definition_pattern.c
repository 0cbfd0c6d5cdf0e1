/* Patterns: what each matches, which are none, that the C library agrees where both take one, and that none is dear. */
#include "appliance/service/definition_pattern.h"

#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"

static const struct {
	const char *name, *pattern, *text;
	bool matches;
} rows[] = {
	{ "letters mean themselves", "abc", "abc", true },
	{ "the whole value is meant, not its beginning", "abc", "abcd", false },
	{ "nor its end", "abc", "xabc", false },
	{ "an alternative is whole, too", "a|b", "ab", false },
	{ "first alternative", "ab|cd", "ab", true },
	{ "second alternative", "ab|cd", "cd", true },
	{ "neither", "ab|cd", "acd", false },
	{ "alternatives in a group", "x(a|b)y", "xby", true },
	{ "any byte", "a.c", "a-c", true },
	{ "none is no byte", "a.c", "ac", false },
	{ "none of many", "a*", "", true },
	{ "many", "a*", "aaaa", true },
	{ "many and another", "a*", "aab", false },
	{ "one at least", "a+", "", false },
	{ "one is enough", "a+", "a", true },
	{ "perhaps", "ab?c", "ac", true },
	{ "perhaps is not twice", "ab?c", "abbc", false },
	{ "a group again and again", "[a-z]+(:[a-z]+)*", "a:bc:d", true },
	{ "a group that is not finished", "[a-z]+(:[a-z]+)*", "a:", false },
	{ "a range", "[a-f0-9]+", "0ff", true },
	{ "out of it", "[a-f0-9]+", "0fg", false },
	{ "all but", "[^/]+", "a.b", true },
	{ "what it is but", "[^/]+", "a/b", false },
	{ "a bracket in brackets", "[]a]+", "]a", true },
	{ "a line at the end of brackets", "[a-]+", "a-a", true },
	{ "a line at their beginning", "[-a]", "-", true },
	{ "a class", "[[:alpha:]_][[:alnum:]_]*", "_a9", true },
	{ "a class that does not hold it", "[[:digit:]]", "a", false },
	{ "all but a class", "[^[:space:]]+", "a b", false },
	{ "hexadecimal", "[[:xdigit:]]+", "fF09", true },
	{ "small and capital", "[[:lower:]][[:upper:]]", "aB", true },
	{ "a mark that means itself", "a\\.b", "a.b", true },
	{ "and nothing else", "a\\.b", "axb", false },
	{ "a brace that means itself", "\\{a}", "{a}", true },
	{ "repeated twice is repeated", "a+*", "", true },
	{ "an empty alternative", "(a|)b", "b", true },
	{ "bytes of UTF-8 are bytes", "..", "\xc3\xa4", true },
	{ "a pattern that is none matches nothing", "(a", "a", false },
	{ "not even itself", "a)|(b", "b", false },
};

static void
each_pattern_matches_what_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (definition_pattern_match(rows[i].pattern, rows[i].text) != rows[i].matches)
			fail_msg("%s: \"%s\" and \"%s\"", rows[i].name, rows[i].pattern, rows[i].text);
}

static const struct {
	const char *name, *pattern, *why;
} none[] = {
	{ "an alternative out of the anchors around it", "a)|(.*", ") that closes nothing" },
	{ "a group that is closed twice", "(a))", ") that closes nothing" },
	{ "a group that is open", "(a", "( that is never closed" },
	{ "brackets that are open", "[a", "[ that is never closed" },
	{ "brackets with their end as first", "[]", "[ that is never closed" },
	{ "a range backwards", "[z-a]", "backwards" },
	{ "a class that nobody knows", "[[:all:]]", "class" },
	{ "a collating symbol", "[[.a.]]", "class" },
	{ "an equivalence", "[[=a=]]", "class" },
	{ "nothing repeated", "*a", "repeats nothing" },
	{ "nothing repeated in a group", "(+)", "repeats nothing" },
	{ "nothing repeated in an alternative", "a|?", "repeats nothing" },
	{ "the beginning", "^a", "whole value" },
	{ "the end of one alternative", "^a|b$", "whole value" },
	{ "a count", "a{9}", "counts" },
	{ "a back reference", "(a)\\1", "back references" },
	{ "a letter behind a backslash", "\\w+", "means itself" },
	{ "nothing behind a backslash", "a\\", "means itself" },
	{ "letters beyond ASCII", "\xc3\xa4", "printable ASCII" },
	{ "a control character", "a\x1b", "printable ASCII" },
	{ "seventeen groups", "(((((((((((((((((a)))))))))))))))))", "one inside the other" },
};

static void
what_is_no_pattern_is_told_why(void **state)
{
	char longest[DEFINITION_PATTERN_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		const char *why = definition_pattern_check(none[i].pattern);

		if (!why || !strstr(why, none[i].why))
			fail_msg("%s: %s", none[i].name, why ? why : "is taken");
	}
	memset(longest, '.', sizeof(longest));
	longest[DEFINITION_PATTERN_MAX] = '\0';
	assert_null(definition_pattern_check(longest));
	longest[DEFINITION_PATTERN_MAX] = '.';
	longest[DEFINITION_PATTERN_MAX + 1] = '\0';
	assert_non_null(definition_pattern_check(longest));
}

/* Where both take a pattern, both say the same of a value. */
static void
the_library_says_the_same(void **state)
{
	static const char marks[] = "ab()|*+?[]^-.", letters[] = "ab-.";
	unsigned seed = 7, both = 0, matched = 0;

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		char pattern[10], whole[16], text[6];
		size_t n = 1 + (size_t)rand_r(&seed) % 8, len = (size_t)rand_r(&seed) % 5;
		bool ours, theirs;
		regex_t re;

		for (size_t k = 0; k < n; k++)
			pattern[k] = marks[(size_t)rand_r(&seed) % (sizeof(marks) - 1)];
		pattern[n] = '\0';
		for (size_t k = 0; k < len; k++)
			text[k] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
		text[len] = '\0';
		(void)snprintf(whole, sizeof(whole), "^(%s)$", pattern);
		if (definition_pattern_check(pattern) || regcomp(&re, whole, REG_EXTENDED | REG_NOSUB) != 0)
			continue;
		both++;
		ours = definition_pattern_match(pattern, text);
		theirs = regexec(&re, text, 0, NULL, 0) == 0;
		regfree(&re);
		matched += ours;
		if (ours != theirs)
			fail_msg("\"%s\" and \"%s\": %d, theirs %d", pattern, text, ours, theirs);
	}
	assert_true(both > 5000);
	assert_true(matched > 500);
}

/* Each of these costs the C library a gigabyte, or minutes. */
static void
no_pattern_is_dear(void **state)
{
	static const char *const pieces[] = { "+", "(a?b?)*", "(a|b)*", "(a*)*", "a?", ".*" };
	char pattern[DEFINITION_PATTERN_MAX + 1], text[1025];
	uint64_t begun = clock_mono_us();

	(void)state;
	for (size_t i = 0; i < 1024; i++)
		text[i] = i % 3 ? 'a' : 'b';
	text[1024] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		size_t n = strlen(pieces[i]), at = 1;

		pattern[0] = 'a';
		for (; at + n < sizeof(pattern); at += n)
			memcpy(pattern + at, pieces[i], n);
		pattern[at] = '\0';
		assert_null(definition_pattern_check(pattern));
		(void)definition_pattern_match(pattern, text);
	}
	assert_true(clock_mono_us() - begun < 5 * CLOCK_US_PER_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pattern_matches_what_it_says),
		cmocka_unit_test(what_is_no_pattern_is_told_why),
		cmocka_unit_test(the_library_says_the_same),
		cmocka_unit_test(no_pattern_is_dear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
