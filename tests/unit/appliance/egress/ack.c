#include "appliance/egress/ack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

static void
what_was_acknowledged_stays_so(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 0);
	assert_int_equal(ack_set(a, "metrics", 17), 0);
	assert_int_equal(ack_set(a, "alerts", 3), 0);
	/* never back */
	assert_int_equal(ack_set(a, "metrics", 16), 0);
	assert_int_equal(ack_get(a, "metrics"), 17);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 17);
	assert_int_equal(ack_get(a, "alerts"), 3);
	assert_int_equal(ack_get(a, "heartbeat"), 0);
	ack_free(a);
}

static void
a_damaged_file_is_refused_and_left(void **state)
{
	static const char *const rows[] = { "", "{", "[]", "{\"v\":1}x", "{\"v\":2,\"streams\":{}}",
		"{\"v\":1,\"streams\":[]}" };
	struct scratch *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ack *a = NULL;

		uint64_t before = refuse_count(REASON_MALFORMED);

		scratch_put(s, ACK_NAME, rows[i], strlen(rows[i]));
		if (ack_open(&a, s->fd) != REASON_MALFORMED)
			fail_msg("%s", rows[i]);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_null(a);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_acknowledged_stays_so, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_refused_and_left, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
