#include "appliance/serve/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static void
test_pairs_are_decoded(void **state)
{
	struct query q;

	(void)state;
	assert_int_equal(query_parse(&q, ""), 0);
	assert_int_equal(q.n, 0);
	assert_int_equal(query_parse(&q, "after=12&wait=&name=a%20b+c%2fd&flag"), 0);
	assert_string_equal(query_get(&q, "after"), "12");
	assert_string_equal(query_get(&q, "wait"), "");
	assert_string_equal(query_get(&q, "name"), "a b c/d");
	assert_string_equal(query_get(&q, "flag"), "");
	assert_null(query_get(&q, "none"));
}

static void
test_what_is_no_query_is_refused(void **state)
{
	static const char *const rows[] = { "=1", "a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%00", "a=%0a", "a=1&", "&a=1",
		"a=1&&b=2", "a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct query q = { .n = 7 };
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(query_parse(&q, rows[i]), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_int_equal(q.n, 7);
	}
}

static void
test_numbers_have_a_maximum(void **state)
{
	static const char *const known[] = { "wait", NULL };
	struct query q;
	uint64_t n = 9;

	(void)state;
	assert_int_equal(query_parse(&q, "wait=55"), 0);
	assert_int_equal(query_u64(&q, "wait", 0, 55, &n), 0);
	assert_int_equal(n, 55);
	assert_int_equal(query_u64(&q, "after", 3, 55, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(query_u64(&q, "wait", 0, 54, &n), REASON_MALFORMED);
	assert_string_equal(refuse_last()->operand, "wait");
	assert_int_equal(query_only(&q, known), 0);
	assert_int_equal(query_parse(&q, "wait=1&what=2"), 0);
	assert_int_equal(query_only(&q, known), REASON_MALFORMED);
	assert_int_equal(n, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs_are_decoded),
		cmocka_unit_test(test_what_is_no_query_is_refused),
		cmocka_unit_test(test_numbers_have_a_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
