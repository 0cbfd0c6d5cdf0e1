/* Requests of another life of the site, by engineers whose list has ended, under clocks that are wrong. */
#include "tests/unit/remote/request/world.h"

static void
document_ended(json_t *doc)
{
	json_object_set_new(doc, "expires", json_string("2026-11-21T19:00:00Z"));
}

/* A restart of the machine, a restored disk, a jump of the clock: what was allowed before waits for a person, whose yes
 * is for the life that the site has now. */
static void
test_another_epoch(void **state)
{
	SCOPED(scope_free) char *before = NULL, *between = NULL, *now = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q, kept;

	(void)state;
	world_open(&m);
	kept = good("r-2", "restart");
	assert_int_equal(deliver(&m, "1", &kept, ANN), 0);
	before = to_sign(&m, "r-2");
	m.epoch[0] ^= 1;
	crash(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	assert_int_equal(spawned(&m), 0);
	between = to_sign(&m, "r-1");
	assert_non_null(strstr(between, "attention     wrong-epoch: "));
	/* A permit of the former life counts no more, one of a life that ended since neither. */
	assert_int_equal(approve(&m, "r-2", before, DORA), REASON_ALTERED);
	m.epoch[0] ^= 2;
	assert_int_equal(approve(&m, "r-1", between, DORA), REASON_STATE_MOVED);
	changed(&m, MONITOR_CHANGE_CLOCK);
	assert_int_equal(spawned(&m), 0);
	now = to_sign(&m, "r-1");
	assert_string_not_equal(between, now);
	assert_int_equal(approve(&m, "r-1", between, DORA), REASON_ALTERED);
	assert_int_equal(approve(&m, "r-1", now, DORA), 0);
	assert_int_equal(spawned(&m), 1);
	assert_string_equal(state_of(&m, "r-1"), "running");
}

/* What was permitted and had not begun when the machine went down does not begin by itself. */
static void
test_permitted_in_another_epoch(void **state)
{
	static const char *const operations[] = { "info", "restart" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;
		uint64_t before;

		world_open(&m);
		q = good("r-1", operations[i]);
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		if (i == 1) {
			text = to_sign(&m, "r-1");
			assert_int_equal(approve(&m, "r-1", text, DORA), 0);
		}
		leave_as(&m, "permitted");
		m.epoch[3] ^= 1;
		m.n_leaves = 0;
		before = refuse_count(REASON_WRONG_EPOCH);
		m.n_steps = 0;
		crash(&m);
		assert_int_equal(refuse_count(REASON_WRONG_EPOCH), before + 1);
		assert_string_equal(state_of(&m, "r-1"), "refused");
		assert_string_equal(reason_of(&m, "r-1"), "wrong-epoch");
		assert_int_equal(spawned(&m), 0);
	}
}

static void
document_ended_since(json_t *doc)
{
	json_object_set_new(doc, "expires", json_string("2026-11-21T19:59:59Z"));
}

/* Allowed, and before it began the people's document ended. */
static void
test_allowed_before_the_people_ended(void **state)
{
	SCOPED(people_freep) struct people *stale = fixture_people(document_ended_since);
	SCOPED(world_end) struct monitor m;
	struct request q;
	uint64_t before;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	leave_as(&m, "permitted");
	m.people = stale;
	before = refuse_count(REASON_STALE_PEOPLE);
	crash(&m);
	assert_int_equal(refuse_count(REASON_STALE_PEOPLE), before + 1);
	assert_string_equal(reason_of(&m, "r-1"), "stale-people");
	assert_int_equal(spawned(&m), 0);
}

/* The vendor's officers did not renew their document: only the customer's own yes lets an engineer in. */
static void
test_stale_people_wait_for_a_permit(void **state)
{
	SCOPED(people_freep) struct people *stale = fixture_people(document_ended);
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.people = stale;
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	/* One that is newer may be on its way. */
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_int_equal(m.n_fetches, 1);
	later(&m, 61 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	text = to_sign(&m, "r-1");
	assert_non_null(strstr(text, "attention     stale-people: "));
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(spawned(&m), 1);
	/* It is renewed: what is allowed runs by itself again. */
	m.people = fx.people;
	q = good("r-2", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(spawned(&m), 2);
}

/* A site whose clock is decades off still takes a request, with a person's yes; and only once. */
static void
test_clocks_that_are_decades_off(void **state)
{
	static const uint64_t years_us = UINT64_C(73) * 365 * 24 * FIXTURE_HOUR;
	const struct {
		uint64_t now_us;
	} clocks[] = { { FIXTURE_NOW - 20 * 24 * FIXTURE_HOUR }, { FIXTURE_NOW + years_us } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		m.now_us = clocks[i].now_us;
		m.floor_us = FIXTURE_NOW - 20 * 24 * FIXTURE_HOUR;
		m.doubtful = true;
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		assert_string_equal(state_of(&m, "r-1"), "waiting");
		later(&m, CLOCK_US_PER_S);
		text = to_sign(&m, "r-1");
		assert_non_null(strstr(text, "attention     the clock here is doubtful"));
		assert_int_equal(approve(&m, "r-1", text, DORA), 0);
		assert_int_equal(spawned(&m), 1);
		/* Its life is as long as it was made for, by the clock there is. */
		q = good("r-2", "info");
		assert_int_equal(deliver(&m, "2", &q, ANN), 0);
		later(&m, 3 * FIXTURE_HOUR);
		assert_string_equal(reason_of(&m, "r-2"), "expired");
		assert_int_equal(spawned(&m), 1);
	}
}

/* Of two lives of one site the customer alone knows which is meant; before the record there is none. */
static void
test_a_clone_asks_and_an_unrecorded_site_takes_nothing(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;
	uint64_t count;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	m.unrecorded = true;
	count = refuse_count(REASON_NOT_APPROVED);
	assert_int_equal(deliver(&m, "1", &q, ANN), REASON_NOT_APPROVED);
	assert_int_equal(refuse_count(REASON_NOT_APPROVED), count + 1);
	assert_string_equal(story(&m), "");
	m.unrecorded = false;
	m.cloned = true;
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	later(&m, CLOCK_US_PER_S);
	text = to_sign(&m, "r-1");
	assert_non_null(strstr(text, "attention     clone: two speak"));
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(spawned(&m), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_clone_asks_and_an_unrecorded_site_takes_nothing),
		cmocka_unit_test(test_another_epoch),
		cmocka_unit_test(test_permitted_in_another_epoch),
		cmocka_unit_test(test_allowed_before_the_people_ended),
		cmocka_unit_test(test_stale_people_wait_for_a_permit),
		cmocka_unit_test(test_clocks_that_are_decades_off),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
