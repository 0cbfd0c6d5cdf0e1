/* No name that the hub could have made up leads out of incoming/ or to another path of the hub. */
#include "updater/fetch/fetch_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/scope.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
plain_names_are_taken(void **state)
{
	static const char *const names[] = { "timestamp.json", "7.snapshot.json", "a",
		"targets/people/" HEX ".people.json",
		"targets/services/redis/7.0.15-2~1+b/" HEX ".index.json", "7.team%2Fredis.json",
		"a/b", "a.", "a../b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(fetch_name_ok(names[i]));
	assert_false(fetch_name_ok(NULL));
}

static void
others_are_not(void **state)
{
	static const char *const names[] = { "", "/", "/etc/passwd", "a/", "a//b", "..", "../a",
		"a/..", "a/../b", ".", "./a", "a/.b", ".hidden", "a b", "a\tb", "a\nb", "a\x01",
		"a\\b", "a?b=c", "a#b", "a&b", "a:b", "a*", "a\"b", "\xc3\xa4", "a\x7f", "a@b" };
	char longest[FETCH_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_false(fetch_name_ok(names[i]));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(fetch_name_ok(longest));
	longest[FETCH_NAME_MAX] = '\0';
	assert_true(fetch_name_ok(longest));
}

static void
every_byte_but_a_few_is_refused(void **state)
{
	char name[4] = "a a";
	unsigned taken = 0;

	(void)state;
	for (unsigned c = 1; c < 256; c++) {
		name[1] = (char)c;
		taken += fetch_name_ok(name);
	}
	assert_int_equal(taken, 26 + 26 + 10 + 6 + 1); /* letters, digits, "._-%+~", "/" */
}

static void
objects_are_named_by_their_digest(void **state)
{
	static const char *const bad[] = { "", "01", HEX "0",
		"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"0/23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"../3456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" };
	char out[128];

	(void)state;
	assert_true(fetch_name_path(out, sizeof(out), HEX, true));
	assert_string_equal(out, "objects/01/" HEX ".zst");
	assert_true(fetch_name_path(out, sizeof(out), "7.root.json", false));
	assert_string_equal(out, "tuf/7.root.json");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(fetch_name_path(out, sizeof(out), bad[i], true));
	assert_false(fetch_name_path(out, 8, "timestamp.json", false)); /* never cut */
}

static void
patches_and_packs_are_named_by_digests(void **state)
{
	static const char *const bad[] = { HEX "-", HEX "-" HEX "0", HEX "_" HEX, HEX HEX, "-" HEX, HEX "-" HEX ".zst",
		HEX "-x" };
	char out[256];

	(void)state;
	assert_true(fetch_name_path(out, sizeof(out), HEX "-" HEX, true));
	assert_string_equal(out, "patches/" HEX "-" HEX ".zst");
	assert_true(fetch_name_pack(out, sizeof(out), HEX));
	assert_string_equal(out, "packs/" HEX);
	assert_false(fetch_name_pack(out, sizeof(out), NULL));
	assert_false(fetch_name_pack(out, sizeof(out), ""));
	assert_false(fetch_name_pack(out, 8, HEX));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(fetch_name_path(out, sizeof(out), bad[i], true));
		assert_false(fetch_name_pack(out, sizeof(out), bad[i]));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_names_are_taken),
		cmocka_unit_test(others_are_not),
		cmocka_unit_test(every_byte_but_a_few_is_refused),
		cmocka_unit_test(objects_are_named_by_their_digest),
		cmocka_unit_test(patches_and_packs_are_named_by_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
