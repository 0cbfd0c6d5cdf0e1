#include "appliance/base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "appliance/base/cursor.h"
#include "appliance/base/scope.h"

static void
a_buffer_never_grows_past_its_maximum(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(10);

	(void)state;
	assert_string_equal(buf_text(&b), "");
	buf_puts(&b, "12345");
	assert_int_equal(buf_error(&b), 0);
	buf_puts(&b, "678901");
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	assert_string_equal(buf_text(&b), "12345");
	buf_puts(&b, "x"); /* the error sticks */
	assert_string_equal(buf_text(&b), "12345");
	assert_null(buf_reserve(&b, 1));
	assert_null(buf_take_text(&b));
	assert_int_equal(b.max, 10);
	buf_puts(&b, "1234567890");
	assert_int_equal(buf_error(&b), 0);
	buf_reset(&b);
	buf_put(&b, NULL, 0);
	assert_int_equal(b.len, 0);
}

static void
what_is_put_is_read_back(void **state)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(100);
	struct cursor c, sub;

	(void)state;
	buf_u8(&b, 1);
	buf_u16(&b, 0x0203);
	buf_u32(&b, 0x04050607);
	buf_u64(&b, UINT64_C(0x08090a0b0c0d0e0f));
	buf_printf(&b, "%s-%d", "text", 7);
	assert_memory_equal(b.data,
		"\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf"
		"text-7",
		21);
	c = CURSOR(b.data, b.len);
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 0x0203);
	assert_int_equal(cursor_u32(&c), 0x04050607);
	assert_true(cursor_u64(&c) == UINT64_C(0x08090a0b0c0d0e0f));
	sub = cursor_sub(&c, 4);
	assert_int_equal(cursor_left(&sub), 4);
	assert_int_equal(cursor_le32(&sub), 0x74786574);
	assert_true(cursor_done(&sub));
	assert_false(cursor_done(&c)); /* bytes left over */
	assert_memory_equal(cursor_bytes(&c, 2), "-7", 2);
	assert_true(cursor_done(&c));
	buf_consume(&b, 15);
	assert_string_equal(buf_text(&b), "text-7");
	buf_consume(&b, 100);
	assert_string_equal(buf_text(&b), "");
}

static void
short_input_sticks(void **state)
{
	struct cursor c = CURSOR("\1\2\3", 3), sub;

	(void)state;
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(c.failed);
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(cursor_left(&c), 0);
	assert_false(cursor_done(&c));
	c = CURSOR("\1\2\3", 3);
	sub = cursor_sub(&c, 4);
	assert_true(sub.failed && c.failed);
	assert_true(cursor_le64(&sub) == 0);
	c = CURSOR(NULL, 0);
	assert_non_null(cursor_bytes(&c, 0));
	assert_true(cursor_done(&c));
	cursor_fail(&c);
	assert_false(cursor_done(&c));
}

static void
text_is_taken(void **state)
{
	struct buf b = BUF_MAX(100);
	SCOPED(scope_free) char *empty = buf_take_text(&b);
	SCOPED(scope_free) char *text = NULL;

	(void)state;
	assert_string_equal(empty, "");
	buf_puts(&b, "abc");
	text = buf_take_text(&b);
	assert_string_equal(text, "abc");
	assert_null(b.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_never_grows_past_its_maximum),
		cmocka_unit_test(what_is_put_is_read_back),
		cmocka_unit_test(short_input_sticks),
		cmocka_unit_test(text_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
