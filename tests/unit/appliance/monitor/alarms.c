/* Alerts that the collector tells: what they cost when it tells without end, and what it may not say. */
#include "appliance/monitor/alarms.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/egress/field.h"
#include "appliance/monitor/leaf.h"

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S)

static int
set_up(void **state)
{
	clock_fake(NOW, 5000 * CLOCK_US_PER_S);
	return site_set_up(state);
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

static int
alert(struct site_test *t, const char *name, const char *service, const char *alert_state,
	const char *since)
{
	return site_call(t, CALL_ROLE_COLLECT, "alert",
		json_pack("{s:s, s:s, s:s, s:s}", "name", name, "service", service, "state",
			alert_state, "since", since),
		NULL, 0, NULL);
}

static size_t
firing(struct site_test *t)
{
	SCOPED_JSON *answer = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "alerts", NULL, NULL, 0, &answer), 0);
	return json_array_size(json_object_get(answer, "items"));
}

#define SINCE "2026-11-18T11:06:40.000Z"

static void
one_that_flaps_is_two_leaves_a_minute(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	for (int i = 0; i < 20; i++) {
		assert_int_equal(alert(t, "down", "redis", "firing", SINCE), 0);
		assert_int_equal(alert(t, "down", "redis", "firing", SINCE), 0); /* told twice */
		assert_int_equal(firing(t), 1);
		assert_int_equal(alert(t, "down", "redis", "resolved", SINCE), 0);
	}
	assert_int_equal(firing(t), 0);
	assert_int_equal(audit_size(t->m->audit), before + 2);
	clock_fake(NOW + 60 * CLOCK_US_PER_S, 5060 * CLOCK_US_PER_S);
	assert_int_equal(leaf_flush(t->m, false), 0);
	assert_int_equal(audit_size(t->m->audit), before + 4);
	assert_non_null(strstr(site_last_leaf(t), ": 19 more"));
}

static void
more_names_than_there_are_places_share_one(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);
	char name[32];

	for (int i = 0; i < 256; i++) {
		(void)snprintf(name, sizeof(name), "a%d", i);
		assert_int_equal(alert(t, name, "redis", "firing", SINCE), 0);
	}
	site_refused(t, alert(t, "a256", "redis", "firing", SINCE), REASON_BUSY);
	assert_int_equal(firing(t), 256);
	assert_in_range(audit_size(t->m->audit), before + 1, before + TALLY_ROWS_MAX);
	/* What is full becomes free again. */
	assert_int_equal(alert(t, "a0", "redis", "resolved", SINCE), 0);
	assert_int_equal(alert(t, "a256", "redis", "firing", SINCE), 0);
	assert_int_equal(firing(t), 256);
}

static void
what_is_no_alert_changes_nothing(void **state)
{
	static const char long_name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const struct {
		const char *name, *service, *state, *since;
	} rows[] = {
		{ "", "redis", "firing", SINCE },
		{ long_name, "redis", "firing", SINCE },
		{ "do\033[2Jwn", "redis", "firing", SINCE },
		{ "down", "red\nis", "firing", SINCE },
		{ "down", "redis", "on fire", SINCE },
		{ "down", "redis", "firing", "yesterday" },
	};
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		site_refused(t,
			alert(t, rows[i].name, rows[i].service, rows[i].state, rows[i].since),
			REASON_MALFORMED);
	site_refused(t,
		site_call(t, CALL_ROLE_COLLECT, "alert", json_pack("{s:s}", "name", "x"), NULL, 0,
			NULL),
		REASON_USAGE);
}

/* Groups of one alert are apart; muted and firing again are each told once. */
static void
an_alert_is_its_service_name_and_group(void **state)
{
	struct site_test *t = *state;
	static const struct {
		const char *group, *state, *muted_by;
		size_t firing;
	} rows[] = {
		{ "device=\"sda\"", "firing", NULL, 1 },
		{ "device=\"sdb\"", "firing", NULL, 2 },
		{ "device=\"sdb\"", "muted", "by hand", 2 },
		{ "device=\"sdb\"", "muted", "alert down", 2 },
		{ "device=\"sdb\"", "firing", NULL, 2 },
		{ "device=\"sda\"", "resolved", NULL, 1 },
		{ "device=\"sda\"", "resolved", NULL, 1 },
		{ "device=\"sdb\"", "resolved", NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *hello = NULL;
		json_t *standing, *last;

		assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "alert",
					 json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s, s:s}", "name", "full", "service",
						 "redis", "group", rows[i].group, "state", rows[i].state, "muted_by",
						 rows[i].muted_by, "since", SINCE, "operation", "info"),
					 NULL, 0, NULL),
			0);
		assert_int_equal(firing(t), rows[i].firing);
		assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "collect.hello", NULL, NULL, 0, &hello), 0);
		standing = json_object_get(hello, "standing");
		assert_int_equal(json_array_size(standing), rows[i].firing);
		last = json_array_get(standing, rows[i].firing - 1);
		if (last && strcmp(rows[i].state, "resolved") != 0) {
			assert_string_equal(json_text(last, "state"), rows[i].state);
			assert_string_equal(json_text(last, "muted_by"), rows[i].muted_by ? rows[i].muted_by : "");
			assert_string_equal(json_text(last, "operation"), "info");
		}
	}
}

static int
decide(struct site_test *t, const char *verb, const char *field)
{
	return site_control(t, verb, json_pack("{s:s}", "field", field));
}

static void
what_is_no_field_is_not_accepted(void **state)
{
	struct site_test *t = *state;
	char name[2 * FIELD_NAME_MAX];

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	site_refused(t, decide(t, "telemetry.accept", "a{"), REASON_USAGE);
	site_refused(t, decide(t, "telemetry.accept", "a \n"), REASON_USAGE);
	site_refused(t, decide(t, "telemetry.accept", name), REASON_USAGE);
	site_refused(t, decide(t, "telemetry.refuse", "a{ gauge 1"), REASON_USAGE);
	site_refused(t, site_control(t, "telemetry.accept", NULL), REASON_USAGE);
	site_refused(t, site_control(t, "telemetry.refuse", NULL), REASON_USAGE);
}

static json_t *
fields(struct site_test *t)
{
	SCOPED_JSON *config = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "collect.hello", NULL, NULL, 0, &config), 0);
	return json_incref(json_object_get(config, "fields"));
}

static void
a_field_is_accepted_in_its_shape_and_refused_again(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *accepted = NULL, *refused = NULL, *again = NULL;

	assert_int_equal(decide(t, "telemetry.accept", "pg_up gauge 1"), 0);
	assert_string_equal(site_last_leaf(t), "accept pg_up");
	accepted = fields(t);
	assert_string_equal(json_string_value(json_object_get(accepted, "pg_up")), "gauge 1");
	assert_int_equal(decide(t, "telemetry.refuse", "pg_up"), 0);
	assert_string_equal(site_last_leaf(t), "accept refuse pg_up");
	refused = fields(t);
	assert_true(json_is_false(json_object_get(refused, "pg_up")));
	assert_int_equal(decide(t, "telemetry.accept", "pg_up counter s"), 0);
	again = fields(t);
	assert_string_equal(json_string_value(json_object_get(again, "pg_up")), "counter s");
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(one_that_flaps_is_two_leaves_a_minute),
		ROW(more_names_than_there_are_places_share_one),
		ROW(what_is_no_alert_changes_nothing),
		ROW(an_alert_is_its_service_name_and_group),
		ROW(what_is_no_field_is_not_accepted),
		ROW(a_field_is_accepted_in_its_shape_and_refused_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
