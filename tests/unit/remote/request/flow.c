/* The way of one request: every cell of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "remote/request/flow.h"

enum { NOW = 1000, END = 2000 };

#define S(s) FLOW_STATE_##s
#define A(a) FLOW_ACTION_##a
#define NO { S(MAX), A(NONE) } /* refused */

struct cell {
	enum flow_state next;
	enum flow_action action;
};

/* Columns in the order of enum flow_event; a tick here is one that is due. */
static const struct cell expected[S(MAX)][FLOW_EVENT_MAX] = {
	/* plan, allow, ask, refuse, permit, deny, start, end, tick, switch-off, recover */
	[S(RECEIVED)] = { { S(PLANNED), A(NONE) }, NO, NO, { S(REFUSED), A(REFUSE) }, NO,
		{ S(REFUSED), A(REFUSE) }, NO, NO, { S(REFUSED), A(REFUSE) },
		{ S(REFUSED), A(REFUSE) }, { S(RECEIVED), A(CHECK) } },
	[S(PLANNED)] = { NO, { S(PERMITTED), A(START) }, { S(WAITING), A(ANNOUNCE) },
		{ S(REFUSED), A(REFUSE) }, NO, { S(REFUSED), A(REFUSE) }, NO, { S(DONE), A(FINISH) },
		{ S(REFUSED), A(REFUSE) }, { S(REFUSED), A(REFUSE) }, { S(RECEIVED), A(CHECK) } },
	[S(WAITING)] = { { S(WAITING), A(ANNOUNCE) }, { S(PERMITTED), A(START) },
		{ S(WAITING), A(NONE) }, { S(REFUSED), A(REFUSE) }, { S(PERMITTED), A(START) },
		{ S(REFUSED), A(REFUSE) }, NO, NO, { S(REFUSED), A(REFUSE) },
		{ S(REFUSED), A(REFUSE) }, { S(WAITING), A(CHECK) } },
	[S(PERMITTED)] = { NO, NO, NO, { S(REFUSED), A(REFUSE) }, NO, { S(REFUSED), A(REFUSE) },
		{ S(RUNNING), A(RUN) }, NO, { S(REFUSED), A(REFUSE) }, { S(REFUSED), A(REFUSE) },
		{ S(PERMITTED), A(START) } },
	[S(RUNNING)] = { NO, NO, NO, NO, NO, { S(RUNNING), A(KILL) }, NO, { S(DONE), A(FINISH) },
		{ S(RUNNING), A(NONE) }, { S(RUNNING), A(KILL) }, { S(DONE), A(INTERRUPT) } },
	[S(DONE)] = { NO, NO, NO, NO, NO, NO, NO, NO, { S(DONE), A(NONE) }, { S(DONE), A(NONE) },
		{ S(DONE), A(NONE) } },
	[S(REFUSED)] = { NO, NO, NO, NO, NO, NO, NO, NO, { S(REFUSED), A(NONE) },
		{ S(REFUSED), A(NONE) }, { S(REFUSED), A(NONE) } },
};

static void
test_every_cell(void **state)
{
	(void)state;
	for (unsigned s = 0; s < S(MAX); s++)
		for (unsigned e = 0; e < FLOW_EVENT_MAX; e++) {
			struct flow f = { .state = (enum flow_state)s, .expires_us = END };
			enum flow_action action = FLOW_ACTION_KILL;
			uint64_t before = refuse_count(REASON_CONFLICT);
			const struct cell *c = &expected[s][e];
			int r = request_flow_step(&f, (enum flow_event)e, END + 1, &action, "r-1");

			if (c->next == S(MAX)) {
				assert_int_equal(r, REASON_CONFLICT);
				assert_int_equal(refuse_last()->reason, REASON_CONFLICT);
				assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
				assert_non_null(strstr(refuse_last()->text,
					request_flow_state_name((enum flow_state)s)));
				assert_non_null(strstr(refuse_last()->text,
					request_flow_event_name((enum flow_event)e)));
				assert_int_equal(f.state, s);
				assert_int_equal(action, FLOW_ACTION_KILL);
			} else {
				assert_int_equal(r, 0);
				assert_int_equal(f.state, c->next);
				assert_int_equal(action, c->action);
			}
			assert_int_equal(f.expires_us, END);
		}
}

/* Nothing happens before its time, and nothing at the very end: only after it. */
static void
test_tick_before_due(void **state)
{
	static const uint64_t times[] = { 0, NOW, END };

	(void)state;
	for (unsigned s = 0; s < S(MAX); s++)
		for (size_t i = 0; i < 3; i++) {
			struct flow f = { .state = (enum flow_state)s, .expires_us = END };
			enum flow_action action = FLOW_ACTION_KILL;

			assert_int_equal(request_flow_step(&f, FLOW_EVENT_TICK, times[i], &action,
						 "r-1"),
				0);
			assert_int_equal(f.state, s);
			assert_int_equal(action, FLOW_ACTION_NONE);
		}
}

/* A run has no wall-clock end: a clock that jumps must not stop it. */
static void
test_due(void **state)
{
	(void)state;
	for (unsigned s = 0; s < S(MAX); s++) {
		struct flow f = { .state = (enum flow_state)s, .expires_us = END };
		bool waits = s < S(RUNNING);

		assert_true(request_flow_due_us(&f) == (waits ? END : UINT64_MAX));
	}
}

/* From running there is no way back to a second run, whatever comes. */
static void
test_at_most_once(void **state)
{
	(void)state;
	for (unsigned s = S(RUNNING); s < S(MAX); s++)
		for (unsigned e = 0; e < FLOW_EVENT_MAX; e++) {
			struct flow f = { .state = (enum flow_state)s, .expires_us = END };
			enum flow_action action = FLOW_ACTION_NONE;

			(void)request_flow_step(&f, (enum flow_event)e, END + 1, &action, "r-1");
			assert_true(f.state >= S(RUNNING));
			assert_true(action != FLOW_ACTION_RUN && action != FLOW_ACTION_START);
		}
}

static void
test_names(void **state)
{
	(void)state;
	for (unsigned s = 0; s < S(MAX); s++)
		assert_int_equal(
			request_flow_state_of(request_flow_state_name((enum flow_state)s)), s);
	assert_int_equal(request_flow_state_of("asleep"), FLOW_STATE_MAX);
	assert_int_equal(request_flow_state_of(NULL), FLOW_STATE_MAX);
	assert_string_equal(request_flow_state_name(FLOW_STATE_MAX), "unknown");
	assert_string_equal(request_flow_event_name(FLOW_EVENT_MAX), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_tick_before_due),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_at_most_once),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
