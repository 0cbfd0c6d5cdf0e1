/* How fast what leaves leaves, and how often a receiver that is away is asked. */
#include "appliance/egress/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "appliance/base/clock.h"

static void
over_time_no_more_goes_than_the_cap(void **state)
{
	struct pace p = { .rate = 20000 };
	uint64_t sent = 0, now;

	(void)state;
	for (now = 0; now < 100 * CLOCK_US_PER_S; now += 50 * CLOCK_US_PER_MS)
		while (pace_may(&p, now)) {
			pace_spend(&p, 5000, now);
			sent += 5000 + PACE_OVERHEAD;
		}
	assert_in_range(sent, 20000 * 99, 20000 * 101 + 5000 + PACE_OVERHEAD);
}

static void
what_is_larger_than_a_second_goes_and_is_paid_for(void **state)
{
	struct pace p = { .rate = 10000 };

	(void)state;
	assert_true(pace_may(&p, 10 * CLOCK_US_PER_S));
	pace_spend(&p, 100000 - PACE_OVERHEAD, 10 * CLOCK_US_PER_S);
	assert_false(pace_may(&p, 18 * CLOCK_US_PER_S));
	assert_true(pace_may(&p, 20 * CLOCK_US_PER_S + 1));
	/* An hour of rest saves one second. */
	pace_spend(&p, 10000 - PACE_OVERHEAD, 3620 * CLOCK_US_PER_S);
	pace_spend(&p, 10000 - PACE_OVERHEAD, 3620 * CLOCK_US_PER_S);
	assert_false(pace_may(&p, 3620 * CLOCK_US_PER_S));
}

static void
without_a_cap_everything_goes(void **state)
{
	struct pace p = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(pace_may(&p, 1));
		pace_spend(&p, UINT32_MAX, 1);
	}
}

/* Seven streams, looking twice a second, through three days without an answer. */
static void
three_days_away_cost_one_question_in_a_few_seconds(void **state)
{
	struct pace_peer p = { 0 };
	uint64_t turns[7] = { 0 }, asked = 0, last = 0, now, end = UINT64_C(3) * 86400 * CLOCK_US_PER_S;

	(void)state;
	pace_away(&p, 0);
	for (now = 0; now < end; now += 500 * CLOCK_US_PER_MS) {
		unsigned at_once = 0;

		for (int stream = 0; stream < 7; stream++)
			at_once += pace_ask(&p, &turns[stream], now);
		assert_true(at_once <= 1);
		if (at_once == 0)
			continue;
		assert_true(now - last <= (PACE_AWAY_S + 1) * CLOCK_US_PER_S); /* so it is back within ten */
		last = now;
		asked++;
		pace_away(&p, now);
	}
	assert_true(asked < 3 * 86400 / 2);
	for (int stream = 0; stream < 7; stream++)
		assert_in_range(turns[stream], asked - 6, asked); /* each had its turn */
	pace_back(&p);
	assert_true(pace_ask(&p, &turns[0], now) && pace_ask(&p, &turns[0], now)); /* there: all go */
}

static void
whoever_is_called_off_leaves_the_question_to_the_next(void **state)
{
	struct pace_peer p = { 0 };
	uint64_t mine = 0, others = 0;

	(void)state;
	pace_away(&p, 0);
	pace_away(&p, 0); /* another that was under way: no second step */
	assert_int_equal(p.tries, 1);
	assert_true(pace_ask(&p, &mine, 5 * CLOCK_US_PER_S));
	assert_false(pace_ask(&p, &others, 5 * CLOCK_US_PER_S));
	pace_leave(&p);
	assert_true(pace_ask(&p, &others, 5 * CLOCK_US_PER_S));
}

static void
whoever_wants_no_more_holds_nobody_up(void **state)
{
	struct pace_peer p = { 0 };
	uint64_t mine = 1, others = 0, now = 0;

	(void)state;
	pace_away(&p, 0);
	while (!p.next) {
		now += 100 * CLOCK_US_PER_MS;
		assert_false(pace_ask(&p, &others, now)); /* its turn, and it is not heard of again */
	}
	while (!pace_ask(&p, &mine, now))
		now += 100 * CLOCK_US_PER_MS;
	assert_true(now < 3 * CLOCK_US_PER_S);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_time_no_more_goes_than_the_cap),
		cmocka_unit_test(what_is_larger_than_a_second_goes_and_is_paid_for),
		cmocka_unit_test(without_a_cap_everything_goes),
		cmocka_unit_test(three_days_away_cost_one_question_in_a_few_seconds),
		cmocka_unit_test(whoever_is_called_off_leaves_the_question_to_the_next),
		cmocka_unit_test(whoever_wants_no_more_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
