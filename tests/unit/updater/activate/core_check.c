/* A release of the core that is not in the store. */
#include "tests/unit/updater/activate/bench.h"

#include "tests/fakes/refused.h"
#include "updater/activate/core_check.h"

#define HEX0 "0000000000000000000000000000000000000000000000000000000000000000"

static void
what_is_not_in_the_store(void **state)
{
	struct bench *b = *state;
	struct core_times times = { .tries = 7 };

	assert_refused(core_check_release(b->t->m, HEX0), REASON_NOT_FOUND, "cannot be read from the store");
	assert_string_equal(refuse_last()->operand, HEX0);
	assert_refused(core_check_times(&times, b->t->m, HEX0), REASON_NOT_FOUND, "cannot be read from the store");
	assert_int_equal(times.tries, 7);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_in_the_store, bench_set_up, bench_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
