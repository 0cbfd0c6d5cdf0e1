/* A core on trial that nobody watches ends by itself; any other goes on. */
#include "appliance/supervise/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/supervise/slots.h"
#include "tests/fakes/scratch.h"

enum { TRIAL_MS = 60, GRACE_MS = 40, WAIT_MS = 400 };

static void
on_over(void *arg)
{
	(*(unsigned *)arg)++;
}

/* This test is of no slot, as the packaged core is. */
static void
only_our_own_trial_ends_us(void **state)
{
	static const struct {
		const char *what;
		enum slots_slot active, trial;
		bool good, elsewhen, over;
	} rows[] = {
		{ "it is on trial, and not good", SLOTS_A, SLOTS_PACKAGED, false, false, true },
		{ "its try was begun in another boot", SLOTS_A, SLOTS_PACKAGED, false, true, true },
		{ "it is good in time", SLOTS_A, SLOTS_PACKAGED, true, false, false },
		{ "another one is on trial", SLOTS_PACKAGED, SLOTS_A, false, false, false },
		{ "none is", SLOTS_PACKAGED, SLOTS_NONE, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_close) int core = -1;
		struct slots s = { .active = rows[i].active, .trial = rows[i].trial, .packaged = "1", .tree[0] = { .present = true } };
		struct slots_now now;
		struct scratch dir;
		struct paths paths;
		struct trial t;
		sd_event *loop;
		unsigned n = 0;

		scratch_make(&dir);
		assert_int_equal(fs_paths(&paths, dir.path), 0);
		assert_int_equal(slots_open(&core, &paths), 0);
		assert_int_equal(slots_now(&now), 0);
		if (rows[i].trial) {
			s.trial_ms = TRIAL_MS;
			s.begun_ms = now.ms;
			memcpy(s.boot, now.boot, sizeof(s.boot));
			if (rows[i].elsewhen)
				s.boot[0] = s.boot[0] == '0' ? '1' : '0';
		}
		assert_int_equal(slots_save(&s, core), 0);
		assert_int_equal(loop_new(&loop, NULL, NULL), 0);
		assert_int_equal(trial_watch(&t, loop, &paths, GRACE_MS, on_over, &n), 0);
		if (rows[i].good) {
			assert_true(slots_good(&s, rows[i].trial, SLOTS_STATE_FORMAT, &now));
			assert_int_equal(slots_save(&s, core), 0);
		}
		for (uint64_t until = clock_mono_us() + WAIT_MS * CLOCK_US_PER_MS;
			clock_mono_us() < until && n == 0 && (rows[i].over || t.timer);)
			assert_true(sd_event_run(loop, 20 * CLOCK_US_PER_MS) >= 0);
		if (n != rows[i].over)
			fail_msg("%s: ended %u times", rows[i].what, n);
		assert_int_equal(slots_load(&s, core), 0);
		assert_int_equal(s.why, rows[i].over ? SLOTS_WHY_SILENT : SLOTS_WHY_NONE);
		if (rows[i].over)
			assert_int_equal(s.begun_ms, 0);
		trial_cancel(&t);
		sd_event_unref(loop);
		scratch_remove(&dir);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_our_own_trial_ends_us),
	};

	return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
