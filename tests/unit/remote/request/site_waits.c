/* What changes while a request waits. */
#include "tests/unit/remote/request/world.h"

static void
test_ground_moves(void **state)
{
	SCOPED(scope_free) char *text = NULL, *again = NULL, *waits = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;
	size_t posts;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	posts = m.n_posts;
	(void)snprintf(m.service.state, sizeof(m.service.state), "stopped");
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_STATE_MOVED);
	assert_int_equal(refuse_last()->reason, REASON_STATE_MOVED);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(m.n_posts, posts + 2); /* the new plan, and that it waits again */
	waits = last_state(&m, "r-1", 2);
	assert_ptr_equal(strstr(waits, "plan 2: waits for one of: dora; since "), waits);
	/* The old text fits the new ground no more, a new one does. */
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_ALTERED);
	again = to_sign(&m, "r-1");
	assert_string_not_equal(text, again);
	assert_int_equal(approve(&m, "r-1", again, DORA), 0);
	assert_int_equal(spawned(&m), 1);
}

static void
test_switched_off_while_waiting(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;
	size_t posts;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	posts = m.n_posts;
	m.remote_on = false;
	changed(&m, MONITOR_CHANGE_SWITCH);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "switched-off");
	assert_string_equal(story(&m), "request refuse[switched-off] ");
	assert_int_equal(m.n_posts, posts); /* nothing leaves */
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_CONFLICT);
	m.remote_on = true;
	changed(&m, MONITOR_CHANGE_SWITCH);
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_SWITCHED_OFF);
	assert_string_equal(story(&m), "request refuse[switched-off] refuse[conflict] ");
	assert_int_equal(spawned(&m), 0);
}

static void
test_expires_while_waiting(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	later(&m, FIXTURE_HOUR);
	assert_string_equal(state_of(&m, "r-1"), "waiting"); /* to its very end */
	later(&m, 1000);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_EXPIRED);
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_CONFLICT);
	assert_int_equal(spawned(&m), 0);
}

static void
test_ceiling_changes_while_waiting(void **state)
{
	SCOPED(policy_freep) struct policy *none = fixture_policy("v: 1\nrules: []\n");
	SCOPED(policy_freep) struct policy *free_for_all = fixture_policy(
		"v: 1\nrules:\n  - {operations: [restart], decision: allow}\n");
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	changed(&m, MONITOR_CHANGE_POLICY);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	m.policy = none;
	changed(&m, MONITOR_CHANGE_POLICY);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "denied");
	m.policy = fx.policy;
	q = good("r-2", "restart");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	m.policy = free_for_all;
	changed(&m, MONITOR_CHANGE_POLICY);
	assert_string_equal(state_of(&m, "r-2"), "running");
	assert_int_equal(spawned(&m), 1);
}

static void
revoke_ann(json_t *doc)
{
	json_array_append_new(json_object_get(doc, "revoked"),
		json_pack("{s:s, s:s, s:s}", "key", fixture_public[ANN], "reason", "lost", "time",
			"2026-11-20T00:00:00Z"));
}

static void
test_revoked_while_waiting(void **state)
{
	SCOPED(people_freep) struct people *people = fixture_people(revoke_ann);
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	m.people = people;
	changed(&m, MONITOR_CHANGE_PEOPLE);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "revoked");
	assert_int_equal(spawned(&m), 0);
}

static void
newer(json_t *doc)
{
	json_object_set_new(doc, "version", json_integer(8));
	json_array_append_new(json_object_get(doc, "engineers"),
		fixture_engineer("cid", CID, "support", "acme"));
}

/* The desk knows newer people than the site: the site fetches them and goes on. */
static void
test_waits_for_newer_people(void **state)
{
	SCOPED(people_freep) struct people *people = fixture_people(newer);
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	q.people_version = 8;
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_int_equal(m.n_fetches, 1);
	later(&m, 30 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_string_equal(story(&m), "");
	m.people = people;
	changed(&m, MONITOR_CHANGE_PEOPLE);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	/* Where they do not come, it is refused. */
	q = good("r-2", "restart");
	q.people_version = 9;
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(m.n_fetches, 2);
	later(&m, 61 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-2"), "refused");
	assert_string_equal(reason_of(&m, "r-2"), "stale-people");
}

/* A new engineer's key is not known yet: the item stays at the hub until it is, or for a minute. */
static void
test_waits_for_a_new_engineer(void **state)
{
	SCOPED(people_freep) struct people *people = fixture_people(newer);
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	q.people_version = 8;
	q.engineer = "cid";
	assert_int_equal(deliver(&m, "1", &q, CID), REASON_BUSY);
	assert_int_equal(deliver(&m, "1", &q, CID), REASON_BUSY);
	assert_int_equal(m.n_fetches, 1);
	assert_string_equal(story(&m), "");
	m.people = people;
	changed(&m, MONITOR_CHANGE_PEOPLE);
	assert_int_equal(deliver(&m, "1", &q, CID), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	m.people = fx.people;
	q.id = "r-2";
	assert_int_equal(deliver(&m, "2", &q, CID), REASON_BUSY);
	clock_fake(FIXTURE_NOW, 100 * CLOCK_US_PER_S);
	assert_int_equal(deliver(&m, "2", &q, CID), 0);
	assert_string_equal(story(&m), "request refuse[unknown-key] ");
	clock_fake(FIXTURE_NOW, 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ground_moves),
		cmocka_unit_test(test_switched_off_while_waiting),
		cmocka_unit_test(test_expires_while_waiting),
		cmocka_unit_test(test_ceiling_changes_while_waiting),
		cmocka_unit_test(test_revoked_while_waiting),
		cmocka_unit_test(test_waits_for_newer_people),
		cmocka_unit_test(test_waits_for_a_new_engineer),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
