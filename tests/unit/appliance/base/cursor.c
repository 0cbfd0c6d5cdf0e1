/* cursor: short input sticks, strings stay within what holds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/cursor.h"
#include "appliance/base/scope.h"

static void
strings_behind_their_length(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
		const char *is; /* NULL: fails */
	} rows[] = {
		{ "a text", "\0\0\0\3abc", 7, "abc" },
		{ "an empty text", "\0\0\0\0", 4, "" },
		{ "longer than what is left", "\0\0\0\4abc", 7, NULL },
		{ "a length of nearly all memory", "\377\377\377\377abc", 7, NULL },
		{ "half a length", "\0\0", 2, NULL },
		{ "nothing", "", 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cursor c = CURSOR(rows[i].bytes, rows[i].len);
		struct cursor text = cursor_string(&c);

		print_message("%s\n", rows[i].name);
		assert_int_equal(cursor_done(&c), rows[i].is != NULL);
		assert_int_equal(text.failed, rows[i].is == NULL);
		assert_true(!rows[i].is || cursor_is(&text, rows[i].is));
		assert_false(cursor_is(&text, "ab"));
		assert_false(cursor_is(&text, "abcd"));
	}
}

static void
short_input_sticks(void **state)
{
	struct cursor c = CURSOR("\1\2\3", 3);

	(void)state;
	assert_int_equal(cursor_u16(&c), 0x0102);
	assert_int_equal(cursor_u32(&c), 0);
	assert_int_equal(cursor_u8(&c), 0); /* there would be one */
	assert_int_equal(cursor_left(&c), 0);
	assert_false(cursor_done(&c));
}

static void
bytes_left_over_are_not_done(void **state)
{
	struct cursor c = CURSOR("\1\0\0\0\2", 5);

	(void)state;
	assert_int_equal(cursor_le32(&c), 1);
	assert_false(cursor_done(&c));
	assert_int_equal(cursor_u8(&c), 2);
	assert_true(cursor_done(&c));
	assert_non_null(cursor_bytes(&c, 0));
	assert_null(cursor_bytes(&c, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_behind_their_length),
		cmocka_unit_test(short_input_sticks),
		cmocka_unit_test(bytes_left_over_are_not_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
