/* Looks at how a service does, step by step: what a probe says, and when the next one is wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/scope.h"
#include "appliance/supervise/shim_look.h"

enum { PERIOD_MS = 1000, ASKED = 5000, STEPS_MAX = 8 };

#define NEVER UINT64_MAX

struct probed {
	uint64_t began_us;
	bool passed;
	uint64_t next_ms; /* as it has to be said */
};

static const struct {
	const char *name;
	struct probed probes[STEPS_MAX];
	uint64_t looked_us; /* at the end */
} rows[] = {
	{ "two that pass are enough", { { 6000, true, 200 }, { 7000, true, NEVER } }, 6000 },
	{ "one that passes is not", { { 6000, true, 200 } }, 0 },
	{ "one that began before says nothing", { { 4999, true, 0 }, { 6000, true, 200 } }, 0 },
	{ "nor does its failure", { { 4999, false, 0 }, { 6000, true, 200 }, { 7000, true, NEVER } }, 6000 },
	{ "one that began in that moment counts", { { 5000, true, 200 }, { 7000, true, NEVER } }, 5000 },
	{ "a failure between two makes it begin anew",
		{ { 6000, true, 200 }, { 7000, false, 50 }, { 8000, true, 200 }, { 9000, true, NEVER } }, 8000 },
	{ "the distances grow up to the period",
		{ { 6000, false, 50 }, { 6001, false, 100 }, { 6002, false, 200 }, { 6003, false, 400 }, { 6004, false, 800 },
			{ 6005, false, NEVER }, { 6006, false, NEVER } }, 0 },
	{ "what passes after that still counts",
		{ { 6000, false, 50 }, { 6001, false, 100 }, { 6002, false, 200 }, { 6003, false, 400 }, { 6004, false, 800 },
			{ 6005, false, NEVER }, { 6006, true, 200 }, { 6007, true, NEVER } }, 6006 },
	{ "what comes after its end changes nothing",
		{ { 6000, true, 200 }, { 7000, true, NEVER }, { 8000, true, NEVER }, { 9000, false, NEVER } }, 6000 },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct shim_look l = { .period_ms = PERIOD_MS };

		shim_look_ask(&l, ASKED);
		for (size_t k = 0; k < STEPS_MAX && rows[i].probes[k].began_us; k++) {
			const struct probed *p = &rows[i].probes[k];

			if (shim_look_probed(&l, p->began_us, p->passed) != p->next_ms)
				fail_msg("%s: probe %zu", rows[i].name, k);
		}
		if (l.looked_us != rows[i].looked_us)
			fail_msg("%s: looked %ju", rows[i].name, (uintmax_t)l.looked_us);
	}
}

static void
test_nobody_asked(void **state)
{
	struct shim_look l = { .period_ms = PERIOD_MS };

	(void)state;
	assert_int_equal(shim_look_probed(&l, 6000, true), NEVER);
	assert_int_equal(shim_look_probed(&l, 7000, true), NEVER);
	assert_int_equal(l.looked_us, 0);
}

/* A second one who asks is told of what began after that. */
static void
test_asked_again(void **state)
{
	struct shim_look l = { .period_ms = PERIOD_MS };

	(void)state;
	shim_look_ask(&l, ASKED);
	(void)shim_look_probed(&l, 6000, true);
	shim_look_ask(&l, 6500);
	assert_int_equal(shim_look_probed(&l, 6400, true), 0);
	assert_int_equal(shim_look_probed(&l, 7000, true), SHIM_LOOK_AGAIN_MS);
	assert_int_equal(shim_look_probed(&l, 8000, true), NEVER);
	assert_int_equal(l.looked_us, 7000);
}

/* A service that is probed more often than a look would. */
static void
test_a_short_period(void **state)
{
	struct shim_look l = { .period_ms = 50 };

	(void)state;
	shim_look_ask(&l, ASKED);
	assert_int_equal(shim_look_probed(&l, 6000, false), NEVER);
	assert_int_equal(shim_look_probed(&l, 7000, true), NEVER);
	assert_int_equal(l.looked_us, 0);
	assert_int_equal(shim_look_probed(&l, 8000, true), NEVER);
	assert_int_equal(l.looked_us, 7000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_nobody_asked),
		cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_a_short_period),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
