#include "appliance/monitor/erase_verb.h"

#include "tests/unit/appliance/monitor/site.h"

static json_t *
range(const char *from, const char *to, const char *why)
{
	return json_pack("{s:s, s:s, s:s}", "from", from, "to", to, "reason", why);
}

static void
records_are_erased_and_that_is_logged(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *done = NULL, *report = NULL, *items = NULL;

	assert_int_equal(monitor_leaf(t->m, "start", "anna", "secret", NULL, REASON_NONE), 0);
	assert_int_equal(monitor_leaf(t->m, "end", "anna", "kept", NULL, REASON_NONE), 0);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.erase", range("0", "0", "asked"),
				 NULL, 0, &done),
		0);
	assert_int_equal(json_integer_value(json_object_get(done, "erased")), 1);
	assert_int_equal(json_integer_value(json_object_get(done, "entry")), 2);
	assert_int_equal(audit_size(t->m->audit), 3);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.verify", NULL, NULL, 0, &report),
		0);
	assert_int_equal(json_integer_value(json_object_get(report, "erased")), 1);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.log", NULL, NULL, 0, &items), 0);
	assert_int_equal(json_array_size(json_object_get(items, "items")), 2);
}

static void
what_is_refused_erases_nothing(void **state)
{
	static char long_text[1100];
	struct site_test *t = *state;

	memset(long_text, 'a', sizeof(long_text) - 1);
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "kept", NULL, REASON_NONE), 0);
	site_refused(t, site_control(t, "audit.erase", range("0", "1", "x")), REASON_USAGE);
	site_refused(t, site_control(t, "audit.erase", range("0", "x", "x")), REASON_USAGE);
	site_refused(t, site_control(t, "audit.erase", json_pack("{s:s}", "from", "0")),
		REASON_USAGE);
	{
		uint64_t before = refuse_count(REASON_TOO_LARGE);

		site_refused(t, site_control(t, "audit.erase", range("0", "0", long_text)),
			REASON_TOO_LARGE);
		assert_string_equal(refuse_last()->operand, "reason");
		assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	}
	assert_int_equal(audit_size(t->m->audit), 1);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, site_set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(records_are_erased_and_that_is_logged),
		TEST(what_is_refused_erases_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
