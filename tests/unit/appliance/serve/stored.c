#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/serve/stored.h"

static void
what_is_damaged_is_nothing(void **state)
{
	static const char *const rows[] = { NULL, "", "{\"a\":", "nothing" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *v = json_true();

		assert_int_equal(stored_json(&v, rows[i]), 0);
		assert_null(v);
	}
}

/* Where there is no memory it is a fault, and not nothing (check-torture). */
static void
what_is_whole_is_read(void **state)
{
	SCOPED_JSON *v = NULL;

	(void)state;
	assert_int_equal(stored_json(&v, "{\"a\":[1,\"x\"]}"), 0);
	assert_int_equal(json_array_size(json_object_get(v, "a")), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_damaged_is_nothing),
		cmocka_unit_test(what_is_whole_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
