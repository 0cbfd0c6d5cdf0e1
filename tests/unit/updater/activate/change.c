/* The change state machine: every step done, every step failed, one service or several. */
#include "updater/activate/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* One service: where each step leads. */
static const struct {
	const char *name;
	enum change_step at;
	int r;
	enum change_step then;
} rows[] = {
	{ "staged is checked", CHANGE_STAGE, 0, CHANGE_CHECK },
	{ "a failed staging has touched nothing", CHANGE_STAGE, REASON_HASH_MISMATCH, CHANGE_ROLLED_BACK },
	{ "a checked release has the old one's data kept", CHANGE_CHECK, 0, CHANGE_SNAPSHOT },
	{ "a bad definition has touched nothing", CHANGE_CHECK, REASON_MALFORMED, CHANGE_ROLLED_BACK },
	{ "what is kept stops the old one", CHANGE_SNAPSHOT, 0, CHANGE_STOP },
	{ "a failed snapshot has touched nothing", CHANGE_SNAPSHOT, REASON_NO_SPACE, CHANGE_ROLLED_BACK },
	{ "stopped is switched", CHANGE_STOP, 0, CHANGE_SWITCH },
	{ "what cannot be stopped is started again", CHANGE_STOP, REASON_STATE_MOVED, CHANGE_UNDO_START },
	{ "data that came back is switched to", CHANGE_DATA, 0, CHANGE_SWITCH },
	{ "switched is started", CHANGE_SWITCH, 0, CHANGE_START },
	{ "a lock that cannot be written goes back", CHANGE_SWITCH, -5, CHANGE_UNDO_SWITCH },
	{ "started is awaited", CHANGE_START, 0, CHANGE_HEALTH },
	{ "what does not start goes back", CHANGE_START, REASON_STATE_MOVED, CHANGE_UNDO_STOP },
	{ "healthy is watched on", CHANGE_HEALTH, 0, CHANGE_SOAK },
	{ "sick goes back", CHANGE_HEALTH, REASON_STATE_MOVED, CHANGE_UNDO_STOP },
	{ "what stayed healthy is committed", CHANGE_SOAK, 0, CHANGE_COMMIT },
	{ "what fell ill later goes back", CHANGE_SOAK, REASON_STATE_MOVED, CHANGE_UNDO_STOP },
	{ "committed is good", CHANGE_COMMIT, 0, CHANGE_GOOD },
	{ "without its leaf nothing is good", CHANGE_COMMIT, -5, CHANGE_UNDO_STOP },
	{ "stopped again, its data is next", CHANGE_UNDO_STOP, 0, CHANGE_UNDO_DATA },
	{ "undo goes on after a failure: stop", CHANGE_UNDO_STOP, REASON_NOT_FOUND, CHANGE_UNDO_SWITCH },
	{ "data that is back, or never went, is switched", CHANGE_UNDO_DATA, 0, CHANGE_UNDO_SWITCH },
	{ "data that does not come back is a person's", CHANGE_UNDO_DATA, -5, CHANGE_FAILED },
	{ "switched back is started", CHANGE_UNDO_SWITCH, 0, CHANGE_UNDO_START },
	{ "a lock that cannot be put back is a person's", CHANGE_UNDO_SWITCH, -5, CHANGE_FAILED },
	{ "undone", CHANGE_UNDO_START, 0, CHANGE_ROLLED_BACK },
	{ "what does not start any more is a person's", CHANGE_UNDO_START, REASON_STATE_MOVED, CHANGE_FAILED },
	{ "good stays good", CHANGE_GOOD, REASON_FAULT, CHANGE_GOOD },
	{ "rolled back stays so", CHANGE_ROLLED_BACK, 0, CHANGE_ROLLED_BACK },
	{ "failed stays so", CHANGE_FAILED, 0, CHANGE_FAILED },
};

static bool
goes_back(enum change_step step)
{
	return step >= CHANGE_UNDO_STOP && step != CHANGE_GOOD;
}

static void
each_step_leads_where_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct change c = { .n = 1, .items = { { .service = "redis", .step = rows[i].at } },
			.reason = goes_back(rows[i].at) ? REASON_FAULT : REASON_NONE };

		change_advance(&c, rows[i].r, "because");
		if (c.items[0].step != rows[i].then)
			fail_msg("%s: %s", rows[i].name, change_step_text(c.items[0].step));
		if (rows[i].then == CHANGE_FAILED && rows[i].at != CHANGE_FAILED)
			assert_non_null(strstr(c.remedy, "mainstay service logs redis"));
	}
}

static void
the_first_reason_is_kept(void **state)
{
	struct change c = { .n = 1, .items = { { .service = "redis", .step = CHANGE_HEALTH } } };

	(void)state;
	change_advance(&c, REASON_STATE_MOVED, "health is failing");
	change_advance(&c, REASON_FAULT, "and more");
	assert_int_equal(c.reason, REASON_STATE_MOVED);
	assert_string_equal(c.text, "redis: health: health is failing");
}

static void
three_services_are_prepared_before_one_is_touched(void **state)
{
	static const struct {
		size_t item;
		enum change_step step;
	} order[] = { { 0, CHANGE_STAGE }, { 1, CHANGE_STAGE }, { 0, CHANGE_CHECK }, { 1, CHANGE_CHECK },
		{ 0, CHANGE_SNAPSHOT }, { 0, CHANGE_STOP }, { 0, CHANGE_SWITCH }, { 0, CHANGE_START },
		{ 0, CHANGE_HEALTH }, { 0, CHANGE_SOAK }, { 1, CHANGE_SNAPSHOT }, { 1, CHANGE_STOP },
		{ 1, CHANGE_SWITCH }, { 1, CHANGE_START }, { 1, CHANGE_HEALTH }, { 1, CHANGE_SOAK },
		{ 0, CHANGE_COMMIT }, { 1, CHANGE_COMMIT } };
	struct change c = { .n = 2, .items = { { .service = "a" }, { .service = "b" } } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		assert_int_equal(change_current(&c), order[i].item);
		assert_int_equal(c.items[order[i].item].step, order[i].step);
		change_advance(&c, 0, NULL);
	}
	assert_true(change_current(&c) == c.n);
	assert_int_equal(change_outcome(&c), CHANGE_GOOD);
}

/* After `good` steps of two services one fails; this is the way back. */
static const struct {
	const char *name;
	unsigned good;
	const char *way;
	enum change_step outcome;
} failures[] = {
	{ "staging of the second", 1, "", CHANGE_ROLLED_BACK },
	{ "checking the second", 3, "", CHANGE_ROLLED_BACK },
	{ "the first one's snapshot", 4, "", CHANGE_ROLLED_BACK },
	{ "stopping the first", 5, "a.undo-start ", CHANGE_ROLLED_BACK },
	{ "starting the first", 7, "a.undo-stop a.undo-data a.undo-switch a.undo-start ", CHANGE_ROLLED_BACK },
	{ "the second one's snapshot", 10, "a.undo-stop a.undo-data a.undo-switch a.undo-start ", CHANGE_ROLLED_BACK },
	{ "stopping the second", 11,
		"b.undo-start a.undo-stop a.undo-data a.undo-switch a.undo-start ", CHANGE_ROLLED_BACK },
	{ "the second one's soak", 15,
		"b.undo-stop b.undo-data b.undo-switch b.undo-start a.undo-stop a.undo-data a.undo-switch a.undo-start ",
		CHANGE_ROLLED_BACK },
	{ "the second one's leaf, after the first was good", 17,
		"b.undo-stop b.undo-data b.undo-switch b.undo-start a.undo-stop a.undo-data a.undo-switch a.undo-start ",
		CHANGE_ROLLED_BACK },
};

static void
all_that_were_switched_go_back_in_reverse_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		struct change c = { .n = 2, .items = { { .service = "a" }, { .service = "b" } } };
		char way[256] = "";

		for (unsigned n = 0; n < failures[i].good; n++)
			change_advance(&c, 0, NULL);
		change_advance(&c, REASON_STATE_MOVED, "because");
		for (unsigned n = 0; n < 32 && change_current(&c) < c.n; n++) {
			const struct change_item *item = &c.items[change_current(&c)];

			(void)snprintf(way + strlen(way), sizeof(way) - strlen(way), "%s.%s ", item->service,
				change_step_text(item->step));
			change_advance(&c, 0, NULL);
		}
		if (strcmp(way, failures[i].way) != 0 || change_outcome(&c) != failures[i].outcome)
			fail_msg("%s: %s, %s", failures[i].name, way, change_step_text(change_outcome(&c)));
	}
}

/* Two services: the first has soaked with data that went one way, the second one's health fails. */
static void
data_that_cannot_go_back_keeps_its_release(void **state)
{
	struct change c = { .n = 2,
		.items = { { .service = "a", .step = CHANGE_COMMIT, .one_way = true },
			{ .service = "b", .step = CHANGE_HEALTH } } };

	(void)state;
	change_advance(&c, REASON_STATE_MOVED, "because");
	assert_int_equal(c.items[0].step, CHANGE_FAILED);
	assert_int_equal(c.items[1].step, CHANGE_UNDO_STOP);
	assert_non_null(strstr(c.remedy, "cannot go back and no snapshot can be restored"));
	while (change_current(&c) < c.n)
		change_advance(&c, 0, NULL);
	assert_int_equal(c.items[1].step, CHANGE_ROLLED_BACK);
	assert_int_equal(change_outcome(&c), CHANGE_FAILED);
}

static void
one_way_data_goes_back_by_its_snapshot(void **state)
{
	struct change c = { .n = 1,
		.items = { { .service = "a", .step = CHANGE_SOAK, .one_way = true, .restores = true } } };

	(void)state;
	change_advance(&c, REASON_STATE_MOVED, "because");
	assert_int_equal(c.items[0].step, CHANGE_UNDO_STOP);
	change_advance(&c, REASON_STATE_MOVED, "it does not end");
	assert_int_equal(c.items[0].step, CHANGE_FAILED); /* nobody writes under a process that runs */
}

/* The data was brought back from a snapshot: what runs before goes on only with a snapshot of its own. */
static const struct {
	const char *name;
	enum change_step at;
	int r;
	bool restores;
	enum change_step then;
} restoring[] = {
	{ "stopped, its data is next", CHANGE_STOP, 0, false, CHANGE_DATA },
	{ "the data is there, and is switched to", CHANGE_DATA, 0, false, CHANGE_SWITCH },
	{ "what was not stopped has its data", CHANGE_STOP, REASON_STATE_MOVED, false, CHANGE_UNDO_START },
	{ "half the data is a person's", CHANGE_DATA, REASON_CONFLICT, false, CHANGE_FAILED },
	{ "half the data goes back", CHANGE_DATA, REASON_CONFLICT, true, CHANGE_UNDO_DATA },
	{ "replaced data without a lock is a person's", CHANGE_SWITCH, -5, false, CHANGE_FAILED },
	{ "replaced data without a lock goes back", CHANGE_SWITCH, -5, true, CHANGE_UNDO_DATA },
	{ "sick on the data of before", CHANGE_HEALTH, REASON_STATE_MOVED, true, CHANGE_UNDO_STOP },
	{ "sick, and no way back", CHANGE_HEALTH, REASON_STATE_MOVED, false, CHANGE_FAILED },
};

static void
data_that_was_replaced_goes_back_only_by_a_snapshot(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(restoring); i++) {
		struct change c = { .n = 1,
			.items = { { .service = "a", .step = restoring[i].at, .one_way = true, .restore = "00",
				.restores = restoring[i].restores } } };

		change_advance(&c, restoring[i].r, "because");
		if (c.items[0].step != restoring[i].then)
			fail_msg("%s: %s", restoring[i].name, change_step_text(c.items[0].step));
	}
}

static void
from_every_step_every_way_ends(void **state)
{
	(void)state;
	for (unsigned step = 0; step < CHANGE_STEP_MAX; step++)
		for (unsigned other = 0; other < CHANGE_STEP_MAX; other++)
			for (unsigned fails = 0; fails < 64; fails++) {
				struct change c = { .n = 2, .items = { { .step = (enum change_step)step },
								    { .step = (enum change_step)other } } };

				for (unsigned n = 0; n < 64 && change_current(&c) < c.n; n++)
					change_advance(&c, fails >> (n % 6) & 1 ? REASON_FAULT : 0, "x");
				assert_true(change_current(&c) == c.n);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_leads_where_the_table_says),
		cmocka_unit_test(the_first_reason_is_kept),
		cmocka_unit_test(three_services_are_prepared_before_one_is_touched),
		cmocka_unit_test(all_that_were_switched_go_back_in_reverse_order),
		cmocka_unit_test(data_that_cannot_go_back_keeps_its_release),
		cmocka_unit_test(one_way_data_goes_back_by_its_snapshot),
		cmocka_unit_test(data_that_was_replaced_goes_back_only_by_a_snapshot),
		cmocka_unit_test(from_every_step_every_way_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
