#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "appliance/supervise/shim_core.h"

enum { S = 1000 * 1000 };

/* One step of a row: at which second what comes, and what must be then. */
struct move {
	unsigned at_s;
	enum shim_event event;
	unsigned actions;
	enum state_is is;
	enum state_health health;
};

#define END                                                                                        \
	{                                                                                          \
		0, SHIM_EVENT_MAX, 0, 0, 0                                                         \
	}

static const struct row {
	const char *says;
	enum spec_heal heal;
	enum spec_health health;
	struct move moves[12];
} rows[] = {
	{ "what has a check is starting until it passes", SPEC_HEAL_EXIT, SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_PROBE_ERROR, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 2, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING }, END } },
	{ "what has none is running at once", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN }, END } },
	{ "a start that takes too long is ended and begun again", SPEC_HEAL_EXIT, SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 59, SHIM_DUE, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 61, SHIM_DUE, SHIM_DO_TERM, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 62, SHIM_EXITED, 0, STATE_STARTING, STATE_HEALTH_FAILING },
			{ 75, SHIM_DUE, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			END } },
	{ "what ends is started again", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 9, SHIM_EXITED, 0, STATE_STARTING, STATE_HEALTH_FAILING },
			{ 20, SHIM_DUE, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			END } },
	{ "what must not heal has failed when it ends", SPEC_HEAL_NEVER, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 9, SHIM_EXITED, SHIM_DO_END, STATE_FAILED, STATE_HEALTH_UNKNOWN },
			END } },
	{ "three silent probes are frozen, and left so", SPEC_HEAL_EXIT, SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 2, SHIM_PROBE_SILENT, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 3, SHIM_PROBE_SILENT, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 4, SHIM_PROBE_SILENT, 0, STATE_FROZEN, STATE_HEALTH_FAILING },
			{ 5, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING }, END } },
	{ "three wrong answers are failing, not frozen; healed by restart", SPEC_HEAL_HEALTH,
		SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 2, SHIM_PROBE_ERROR, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 3, SHIM_PROBE_ERROR, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 4, SHIM_PROBE_ERROR, SHIM_DO_TERM, STATE_RUNNING, STATE_HEALTH_FAILING },
			{ 15, SHIM_DUE, SHIM_DO_KILL, STATE_RUNNING, STATE_HEALTH_FAILING },
			{ 16, SHIM_EXITED, 0, STATE_STARTING, STATE_HEALTH_FAILING },
			{ 30, SHIM_DUE, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			END } },
	{ "state T is frozen at once", SPEC_HEAL_EXIT, SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 2, SHIM_STOPPED, 0, STATE_FROZEN, STATE_HEALTH_FAILING },
			{ 3, SHIM_CONTINUED, 0, STATE_RUNNING, STATE_HEALTH_UNKNOWN }, END } },
	{ "a stop is TERM, then KILL, then the end", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 5, SHIM_STOP, SHIM_DO_TERM, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 14, SHIM_DUE, 0, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 16, SHIM_DUE, SHIM_DO_KILL, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 17, SHIM_EXITED, SHIM_DO_END, STATE_STOPPED, STATE_HEALTH_UNKNOWN },
			END } },
	{ "a stop while it is being restarted is for good", SPEC_HEAL_HEALTH, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_REPLACE, SHIM_DO_TERM, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 2, SHIM_STOP, 0, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 3, SHIM_EXITED, SHIM_DO_END, STATE_STOPPED, STATE_HEALTH_UNKNOWN },
			END } },
	{ "a stop while it waits to be started ends at once", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_EXITED, 0, STATE_STARTING, STATE_HEALTH_FAILING },
			{ 1, SHIM_STOP, SHIM_DO_END, STATE_STOPPED, STATE_HEALTH_UNKNOWN }, END } },
	{ "what was found running is not started", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_ADOPT, 0, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_EXITED, 0, STATE_STARTING, STATE_HEALTH_FAILING }, END } },
	{ "a preparation has its own time, and then the start has", SPEC_HEAL_EXIT,
		SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 0, SHIM_PREPARE, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 100, SHIM_PASSED, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 599, SHIM_PREPARED, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 658, SHIM_DUE, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 660, SHIM_DUE, SHIM_DO_TERM, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			END } },
	{ "a preparation that takes too long is killed and begun again", SPEC_HEAL_EXIT,
		SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 0, SHIM_PREPARE, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 601, SHIM_DUE, SHIM_DO_ABANDON, STATE_STARTING, STATE_HEALTH_FAILING },
			{ 620, SHIM_DUE, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			END } },
	{ "a preparation that fails is begun again", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 0, SHIM_PREPARE, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_SPAWN_FAILED, 0, STATE_STARTING, STATE_HEALTH_FAILING }, END } },
	{ "a stop ends a preparation at once", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 0, SHIM_PREPARE, 0, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_STOP, SHIM_DO_END | SHIM_DO_ABANDON, STATE_STOPPED,
				STATE_HEALTH_UNKNOWN },
			END } },
	{ "after a reload only a new probe says how it is", SPEC_HEAL_EXIT, SPEC_HEALTH_RESP,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_STARTING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING },
			{ 2, SHIM_RELOADED, 0, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 3, SHIM_PASSED, 0, STATE_RUNNING, STATE_HEALTH_PASSING }, END } },
	{ "a reload of what nobody probes changes nothing", SPEC_HEAL_EXIT, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 2, SHIM_RELOADED, 0, STATE_RUNNING, STATE_HEALTH_UNKNOWN }, END } },
	{ "nothing happens after the end", SPEC_HEAL_NEVER, SPEC_HEALTH_NONE,
		{ { 0, SHIM_BEGIN, SHIM_DO_START, STATE_RUNNING, STATE_HEALTH_UNKNOWN },
			{ 1, SHIM_EXITED, SHIM_DO_END, STATE_FAILED, STATE_HEALTH_UNKNOWN },
			{ 2, SHIM_PASSED, 0, STATE_FAILED, STATE_HEALTH_UNKNOWN },
			{ 3, SHIM_BEGIN, 0, STATE_FAILED, STATE_HEALTH_UNKNOWN }, END } },
};

static void
init(struct shim_core *c, enum spec_heal heal, enum spec_health health)
{
	struct spec spec;

	spec_init(&spec);
	spec.heal = heal;
	spec.health = health;
	shim_core_init(c, &spec);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct shim_core c;

		init(&c, rows[i].heal, rows[i].health);
		for (const struct move *m = rows[i].moves; m->event != SHIM_EVENT_MAX; m++) {
			unsigned act = shim_core_step(&c, m->event, (uint64_t)(100 + m->at_s) * S);

			if (act != m->actions || c.is != m->is || c.health != m->health)
				fail_msg("%s: second %u: actions %u, %s, %s", rows[i].says, m->at_s,
					act, state_name(c.is), state_health_name(c.health));
		}
	}
}

static void
test_brake(void **state)
{
	struct shim_core c;
	unsigned act = 0;

	(void)state;
	init(&c, SPEC_HEAL_EXIT, SPEC_HEALTH_NONE);
	(void)shim_core_step(&c, SHIM_BEGIN, 100 * S);
	for (unsigned i = 0; i < SHIM_BRAKE_RESTARTS; i++) {
		act = shim_core_step(&c, SHIM_EXITED, (101 + i) * UINT64_C(1000000));
		assert_int_equal(act, 0);
		assert_int_equal(shim_core_step(&c, SHIM_DUE, c.due_us), SHIM_DO_START);
	}
	assert_int_equal(shim_core_step(&c, SHIM_EXITED, 110 * UINT64_C(1000000)), SHIM_DO_END);
	assert_int_equal(c.is, STATE_FAILED);
	assert_int_equal(c.restarts, SHIM_BRAKE_RESTARTS);
}

static void
test_no_brake_for_slow_ones(void **state)
{
	struct shim_core c;

	(void)state;
	init(&c, SPEC_HEAL_EXIT, SPEC_HEALTH_NONE);
	(void)shim_core_step(&c, SHIM_BEGIN, 100 * S);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(shim_core_step(&c, SHIM_EXITED,
					 (120 + 20 * i) * UINT64_C(1000000)),
			0);
		assert_int_equal(shim_core_step(&c, SHIM_DUE, c.due_us), SHIM_DO_START);
	}
}

static void
test_what_ails_it(void **state)
{
	static const struct {
		enum shim_event event;
		const char *says;
	} cases[] = {
		{ SHIM_PROBE_SILENT, "gets no answer" },
		{ SHIM_PROBE_ERROR, "finds nobody, or a wrong answer" },
		{ SHIM_STOPPED, "a signal stopped its first process" },
		{ SHIM_RELOADED, NULL },
	};
	struct spec spec = { .heal = SPEC_HEAL_EXIT, .health = SPEC_HEALTH_RESP, .health_failures = 1, .grace_ms = 1,
		.start_timeout_ms = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct shim_core c;

		shim_core_init(&c, &spec);
		(void)shim_core_step(&c, SHIM_BEGIN, 0);
		assert_null(shim_core_ails(&c));
		(void)shim_core_step(&c, SHIM_PASSED, 1 * S);
		assert_null(shim_core_ails(&c));
		(void)shim_core_step(&c, cases[i].event, 2 * S);
		assert_true(!shim_core_ails(&c) == !cases[i].says);
		if (cases[i].says)
			assert_non_null(strstr(shim_core_ails(&c), cases[i].says));
		(void)shim_core_step(&c, SHIM_CONTINUED, 3 * S);
		(void)shim_core_step(&c, SHIM_PASSED, 4 * S);
		assert_null(shim_core_ails(&c));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_brake),
		cmocka_unit_test(test_what_ails_it),
		cmocka_unit_test(test_no_brake_for_slow_ones),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
