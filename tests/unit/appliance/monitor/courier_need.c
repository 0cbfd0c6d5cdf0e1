/* Under systemd no courier runs while all switches are off. */
#include "appliance/monitor/courier_need.h"

#include "tests/unit/appliance/monitor/site.h"

static int
set_up(void **state)
{
	struct site_test *t;

	assert_int_equal(site_set_up(state), 0);
	t = *state;
	spawn_fake_keep_courier(t->spawner);
	site_restart(t);
	return 0;
}

/* What PID 1 was told since it was asked last: "", "on", "off". */
static const char *
told(struct site_test *t)
{
	const char *said = t->spawner->courier ?: "";

	t->spawner->courier = NULL;
	return said;
}

/* Until it was told something: time goes by as fast as timers want it to. */
static void
wait_told(struct site_test *t)
{
	for (unsigned i = 0; i < 200 && !t->spawner->courier; i++) {
		turn_pass(CLOCK_US_PER_S);
		site_settle(t);
	}
}

static void
turn(struct site_test *t, const char *name, const char *on)
{
	assert_int_equal(site_control(t, "switch", json_pack("{s:s, s:s}", "name", name, "on", on)), 0);
	site_settle(t);
}

static bool
has_file(const struct site_test *t, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", t->dir.path, name);
	return access(path, F_OK) == 0;
}

static void
a_site_that_never_switched_on_has_the_off_files_and_no_courier(void **state)
{
	struct site_test *t = *state;

	assert_string_equal(told(t), "off");
	assert_true(has_file(t, "etc/off/telemetry") && has_file(t, "etc/off/updates") && has_file(t, "etc/off/remote"));
	assert_false(monitor_courier_wanted(t->m));
}

static void
one_switch_is_enough_and_the_last_one_ends_it(void **state)
{
	struct site_test *t = *state;

	(void)told(t);
	turn(t, "updates", "true");
	assert_string_equal(told(t), "on");
	assert_true(monitor_courier_wanted(t->m));
	assert_false(has_file(t, "etc/off/updates"));
	turn(t, "remote", "true");
	assert_string_equal(told(t), ""); /* it runs */
	turn(t, "updates", "false");
	assert_string_equal(told(t), "");
	turn(t, "remote", "false");
	assert_string_equal(told(t), "off");
}

/* Nobody asked us: the file was written while we hung, or by hand. */
static void
an_off_file_ends_it(void **state)
{
	struct site_test *t = *state;

	turn(t, "telemetry", "true");
	(void)told(t);
	assert_int_equal(switch_write_off(&t->paths, SWITCH_TELEMETRY), 0);
	wait_told(t);
	assert_string_equal(told(t), "off");
}

static void
a_monitor_that_comes_back_says_it_again(void **state)
{
	struct site_test *t = *state;

	turn(t, "telemetry", "true");
	(void)told(t);
	site_restart(t);
	assert_string_equal(told(t), "on");
}

/* Whose key belongs into an enrolment: it comes for that, marked for its unit, and goes again. */
static void
it_comes_for_its_key_and_goes_again(void **state)
{
	struct site_test *t = *state;

	(void)told(t);
	site_refused(t, site_control(t, "enrol.begin", NULL), REASON_BUSY);
	assert_string_equal(told(t), "on");
	assert_true(has_file(t, "run/enrolling"));
	assert_true(monitor_courier_wanted(t->m));
	wait_told(t);
	assert_string_equal(told(t), "off");
	assert_false(has_file(t, "run/enrolling"));
}

static void
where_nobody_can_end_it_it_is_always_wanted(void **state)
{
	struct site_test *t;

	assert_int_equal(site_set_up(state), 0);
	t = *state;
	assert_true(monitor_courier_wanted(t->m));
	assert_string_equal(told(t), "");
	assert_false(has_file(t, "etc/off/telemetry"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_site_that_never_switched_on_has_the_off_files_and_no_courier, set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(one_switch_is_enough_and_the_last_one_ends_it, set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(an_off_file_ends_it, set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_monitor_that_comes_back_says_it_again, set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(it_comes_for_its_key_and_goes_again, set_up, site_tear_down),
		cmocka_unit_test_teardown(where_nobody_can_end_it_it_is_always_wanted, site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
