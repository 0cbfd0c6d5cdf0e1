/* When the collector probes and when it batches, by a clock of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/rounds.h"

#define SECONDS(n) ((uint64_t)(n) * CLOCK_US_PER_S)
#define BEGIN	   SECONDS(1000)

/* Turn as the timer does until that many batches came; the last one's time, from BEGIN. */
static uint64_t
run(struct rounds *r, size_t batches, size_t *ret_probes, size_t *ret_all)
{
	uint64_t now = BEGIN, last = 0;
	bool all, fresh = false;

	*ret_probes = *ret_all = 0;
	while (batches > 0) {
		uint64_t ms = rounds_wait_ms(r, now);

		assert_true(ms <= ROUNDS_PROBE_MS + 1);
		now += ms * CLOCK_US_PER_MS;
		if (rounds_probe(r, now, &all)) {
			++*ret_probes;
			*ret_all += all;
			fresh = all;
		}
		if (rounds_batch(r, now)) {
			assert_true(fresh); /* everything was asked just before */
			batches--;
			last = now - BEGIN;
		}
	}
	return last;
}

static void
a_period_has_many_probes_and_one_batch(void **state)
{
	struct rounds r;
	size_t probes, all;
	uint64_t first, second;

	(void)state;
	rounds_start(&r, SECONDS(15), "site-1", BEGIN);
	first = run(&r, 1, &probes, &all);
	assert_in_range(first, SECONDS(2), SECONDS(2) + 2 * CLOCK_US_PER_MS);
	assert_in_range(probes, 1, 2);
	rounds_start(&r, SECONDS(15), "site-1", BEGIN);
	second = run(&r, 2, &probes, &all);
	assert_in_range(second, SECONDS(17), SECONDS(32) + 2 * CLOCK_US_PER_MS);
	rounds_start(&r, SECONDS(15), "site-1", BEGIN);
	assert_in_range(run(&r, 10, &probes, &all), second + 8 * SECONDS(15) - CLOCK_US_PER_MS,
		second + 8 * SECONDS(15) + CLOCK_US_PER_MS);
	assert_in_range(probes, 8 * 15 / 2, 11 * 15 / 2);
	assert_in_range(all, 10, 20); /* one before each batch, and what an even second has too many */
}

static void
a_period_shorter_than_the_probes_asks_all_with_each(void **state)
{
	struct rounds r;
	bool all = false;

	(void)state;
	rounds_start(&r, SECONDS(1), "", BEGIN);
	assert_int_equal(rounds_wait_ms(&r, BEGIN), 0);
	assert_true(rounds_probe(&r, BEGIN, &all) && all);
	assert_false(rounds_probe(&r, BEGIN, &all));
	assert_false(rounds_batch(&r, BEGIN));
	assert_true(rounds_batch(&r, BEGIN + SECONDS(1)));
}

static void
what_is_late_is_skipped(void **state)
{
	struct rounds r;
	bool all;

	(void)state;
	rounds_start(&r, SECONDS(15), "", BEGIN);
	r.later_us = 0;
	assert_true(rounds_batch(&r, BEGIN + SECONDS(600))); /* the host slept */
	assert_false(rounds_batch(&r, BEGIN + SECONDS(600)));
	assert_true(rounds_probe(&r, BEGIN + SECONDS(600), &all));
	assert_false(rounds_probe(&r, BEGIN + SECONDS(601), &all));
	assert_int_equal(r.batch_at_us, BEGIN + SECONDS(602));
}

/* 1,000 sites that came up at the same moment: no tenth of the period has more than twice its share. */
static void
sites_do_not_send_at_once(void **state)
{
	size_t tenth[10] = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct rounds r;
		char site[32];

		(void)snprintf(site, sizeof(site), "acme-%d", i);
		rounds_start(&r, SECONDS(15), site, BEGIN);
		assert_true(rounds_batch(&r, BEGIN + SECONDS(2)));
		assert_in_range(r.batch_at_us, BEGIN + SECONDS(17), BEGIN + SECONDS(32) - 1);
		tenth[(r.batch_at_us - BEGIN - SECONDS(17)) * 10 / SECONDS(15)]++;
	}
	for (size_t i = 0; i < ARRAY_LEN(tenth); i++)
		assert_in_range(tenth[i], 50, 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_period_has_many_probes_and_one_batch),
		cmocka_unit_test(a_period_shorter_than_the_probes_asks_all_with_each),
		cmocka_unit_test(what_is_late_is_skipped),
		cmocka_unit_test(sites_do_not_send_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
