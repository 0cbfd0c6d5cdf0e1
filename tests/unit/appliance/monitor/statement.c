/* What the site says by itself: its statement, the courier's key; on a clock of the
 * test's own. */
#include "appliance/monitor/statement.h"

#include "tests/unit/appliance/monitor/site_clock.h"

#include "appliance/enrol/enrol_hub.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/outbox.h"

#define DAY (UINT64_C(86400) * CLOCK_US_PER_S)

/* --- the clock ------------------------------------------------------------------------------------- */
static void
a_clock_that_jumps_makes_a_new_epoch(void **state)
{
	static const struct {
		const char *name;
		int64_t wall_s, up_s;
		bool jumps;
	} rows[] = {
		{ "time that goes by", 3600, 3600, false },
		{ "a second of leap", 3599, 3600, false },
		{ "a clock slewed a little", 3620, 3600, false },
		{ "an hour back", -3600, 1, true },
		{ "a year on", 365 * 86400, 1, true },
		{ "a machine resumed from a copy: its boot time went on where it was", 86400, 1,
			true },
	};
	struct site_test *t = *state;
	struct epoch e;

	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct epoch again;
		char before[33];
		bool jumped;

		(void)snprintf(before, sizeof(before), "%s", e.text);
		set_clock(now_us + (uint64_t)(rows[i].wall_s * (int64_t)CLOCK_US_PER_S),
			up_us + (uint64_t)(rows[i].up_s * (int64_t)CLOCK_US_PER_S));
		assert_int_equal(epoch_look(&e, t->m->run_fd, &jumped), 0);
		if (jumped != rows[i].jumps || jumped != (strcmp(before, e.text) != 0))
			fail_msg("%s: %d", rows[i].name, jumped);
		assert_int_equal(epoch_look(&e, t->m->run_fd, &jumped), 0);
		assert_false(jumped);
		/* and it is on the disk */
		assert_int_equal(epoch_open(&again, t->m->run_fd, t->m->lib_fd, 0), 0);
		assert_string_equal(again.text, e.text);
	}
	/* It jumps while nobody looks, too. */
	set_clock(now_us - 7200 * CLOCK_US_PER_S, up_us + CLOCK_US_PER_S);
	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 0), 0);
	assert_true(e.renewed);
}

static void
the_monitor_looks_at_its_clock(void **state)
{
	struct site_test *t = *state;
	char epoch[33];

	(void)snprintf(epoch, sizeof(epoch), "%s", monitor_epoch(t->m));
	set_clock(now_us - 3600 * CLOCK_US_PER_S, up_us);
	for (unsigned i = 0; i < 300 && strcmp(monitor_epoch(t->m), epoch) == 0; i++)
		site_turn(t);
	assert_string_not_equal(monitor_epoch(t->m), epoch);
}

/* --- the courier's key ----------------------------------------------------------------------------- */
/* The key statement of the courier's configuration, as the hub reads it. */
static int
hub_takes_key(struct site_test *t, uint64_t *ret_not_after)
{
	SCOPED_JSON *config = courier_verbs_config(t->m);
	uint8_t key[32];

	assert_non_null(json_object_get(config, "daemon"));
	return enrol_hub_daemon(key, ret_not_after, json_object_get(config, "daemon"), "site1",
		ed25519_public(t->m->site.key), now_us);
}

static void
the_couriers_key_is_renewed_before_it_ends(void **state)
{
	struct site_test *t = *state;
	struct ed25519 *courier = NULL;
	uint64_t first, again;

	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(courier)), NULL, 0,
				 NULL),
		0);
	assert_int_equal(hub_takes_key(t, &first), 0);
	assert_true(first == now_us + 7 * DAY);
	pass(t, 3 * DAY);
	assert_int_equal(hub_takes_key(t, &again), 0);
	assert_true(again == first);
	pass(t, DAY + CLOCK_US_PER_S);
	assert_int_equal(hub_takes_key(t, &again), 0);
	assert_true(again == now_us + 7 * DAY);
	pass(t, 30 * DAY); /* asleep for a month */
	assert_int_equal(hub_takes_key(t, &again), 0);
	ed25519_free(courier);
}

/* The clock was wrong for a while: a key for the year 2040 is one that no hub takes. */
static void
a_key_for_a_far_future_is_renewed_too(void **state)
{
	struct site_test *t = *state;
	struct ed25519 *courier = NULL;
	uint64_t not_after;

	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(courier)), NULL, 0,
				 NULL),
		0);
	pass(t, 5000 * DAY);
	assert_int_equal(hub_takes_key(t, &not_after), 0);
	set_clock(now_us - 4990 * DAY, up_us + CLOCK_US_PER_S);
	pass(t, CLOCK_US_PER_S);
	assert_int_equal(hub_takes_key(t, &not_after), 0);
	ed25519_free(courier);
}

/* What runs here leaves with heartbeats, and without telemetry beside the audit's head: kept is kept in both. */
static void
the_policys_word_about_heartbeats_holds_without_telemetry(void **state)
{
	static const struct {
		const char *fate, *telemetry;
		bool leaves;
	} rows[] = { { "send", "true", true }, { "keep", "true", false }, { "review", "true", false },
		{ "send", "false", true }, { "keep", "false", false }, { "review", "false", false } };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = json_pack("{s:i, s:[], s:{s:s}}", "v", 1, "rules", "classes", "heartbeat", rows[i].fate);
		struct policy *p = NULL;
		uint64_t before;

		assert_int_equal(policy_from_json(&p, doc), 0);
		policy_free(t->m->policy);
		t->m->policy = p;
		assert_int_equal(site_control(t, "switch", json_pack("{s:s, s:s}", "name", "telemetry", "on", rows[i].telemetry)),
			0);
		before = outbox_next(t->m->outbox, "heartbeat");
		pass(t, 60 * CLOCK_US_PER_S);
		if ((outbox_next(t->m->outbox, "heartbeat") > before) != rows[i].leaves)
			fail_msg("heartbeat %s, telemetry %s", rows[i].fate, rows[i].telemetry);
	}
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_clock_that_jumps_makes_a_new_epoch),
		ROW(the_monitor_looks_at_its_clock),
		ROW(the_couriers_key_is_renewed_before_it_ends),
		ROW(a_key_for_a_far_future_is_renewed_too),
		ROW(the_policys_word_about_heartbeats_holds_without_telemetry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
