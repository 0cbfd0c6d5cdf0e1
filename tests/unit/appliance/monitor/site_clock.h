/* A site whose clock is the test's: enrolled, with its record, all switches on. */
#pragma once

#include "tests/unit/appliance/monitor/site.h"

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S) /* November 2026 */

static uint64_t now_us, up_us;

static void
set_clock(uint64_t now, uint64_t up)
{
	now_us = now;
	up_us = up;
	clock_fake(now, up);
}

/* Time goes by, and the modules' ticks with it. */
static void
pass(struct site_test *t, uint64_t us)
{
	set_clock(now_us + us, up_us + us);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (t->m->modules[i].module->tick)
			t->m->modules[i].module->tick(t->m, monitor_now_us(t->m),
				t->m->modules[i].arg);
}

static int
set_up(void **state)
{
	struct site_test *t;

	set_clock(NOW, 5000 * CLOCK_US_PER_S);
	assert_int_equal(site_set_up_recorded(state), 0);
	t = *state;
	assert_int_equal(site_control(t, "switch",
				 json_pack("{s:s, s:s}", "name", "all", "on", "true")),
		0);
	return 0;
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}
