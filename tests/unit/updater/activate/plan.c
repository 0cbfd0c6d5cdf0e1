/* What a plan says, what is chosen of it, and what goes in by itself. */
#include "tests/unit/updater/activate/bench.h"

#include "updater/activate/plan.h"

/* --- rows ---------------------------------------------------------------------------------------------------------- */
static void
the_difference_of_two_plans_is_told_in_words(void **state)
{
	static const struct {
		const char *before, *after, *said;
	} rows[] = {
		{ "[]", "[]", "" },
		{ "[{\"service\":\"redis\"}]", "[]", "redis: gone" },
		{ "[]", "[{\"service\":\"redis\"}]", "redis: came" },
		{ "[{\"service\":\"redis\",\"version\":\"8\"}]", "[{\"service\":\"redis\",\"version\":\"9\"}]",
			"redis: version 8 is now 9" },
		{ "[{\"service\":\"redis\",\"held\":false}]", "[{\"service\":\"redis\",\"held\":true}]",
			"redis: held no is now yes" },
		{ "[{\"service\":\"redis\",\"notes\":[]}]", "[{\"service\":\"redis\",\"notes\":[\"x\"]}]",
			"redis: notes is now otherwise" },
		{ "[{\"service\":\"a\",\"version\":\"1\"},{\"service\":\"b\"}]",
			"[{\"service\":\"a\",\"version\":\"2\"},{\"service\":\"c\"}]",
			"b: gone; a: version 1 is now 2; c: came" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *before = json_loads(rows[i].before, 0, NULL), *after = json_loads(rows[i].after, 0, NULL);
		SCOPED(buf_done) struct buf out = BUF_MAX(1024);

		plan_difference(before, after, &out);
		assert_string_equal(out.len ? buf_text(&out) : "", rows[i].said);
	}
}

/* Each row is what goes in by itself but for one thing. */
static void
by_itself_goes_only_what_harms_nobody(void **state)
{
	static const struct {
		const char *member, *value;
	} rows[] = {
		{ "automatic", "false" },
		{ "held", "true" },
		{ "went_back", "true" },
		{ "data", "\"one-way\"" },
		{ "data", "\"not-readable\"" },
		{ "problems", "[{\"reason\":\"not-approved\"}]" },
	};
	SCOPED_JSON *items = json_pack("[{s:b, s:b, s:b, s:s, s:[]}]", "automatic", 1, "held", 0, "went_back", 0, "data",
		"same", "problems");
	struct plan p = { .items = items, .n = 1 };

	(void)state;
	assert_true(plan_automatic(&p, 0));
	p.core = true;
	assert_false(plan_automatic(&p, 0));
	p.core = false;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *bent = json_deep_copy(items);

		(void)json_object_set_new(json_array_get(bent, 0), rows[i].member,
			json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
		p.items = bent;
		assert_false(plan_automatic(&p, 0));
	}
}

/* --- holding ------------------------------------------------------------------------------------------------------- */
static bool
row_says(struct bench *b, const char *member)
{
	SCOPED_JSON *plan = NULL;

	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.plan", NULL, NULL, 0, &plan), 0);
	assert_int_equal(json_array_size(json_object_get(plan, "items")), 1);
	return json_is_true(json_object_get(json_array_get(json_object_get(plan, "items"), 0), member));
}

/* As many services as these are held, and says whether all updates are. */
static bool
held_are(struct bench *b, size_t n)
{
	SCOPED_JSON *status = NULL;

	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.status", NULL, NULL, 0, &status), 0);
	assert_int_equal(json_array_size(json_object_get(status, "held_services")), n);
	if (n)
		assert_string_equal(json_string_value(json_array_get(json_object_get(status, "held_services"), 0)), "redis");
	return json_is_true(json_object_get(status, "held"));
}

static void
release_two_waits(struct bench *b, struct bench_release *one, struct bench_release *two)
{
	bench_release(b, one, "redis", "7", "redis");
	bench_release(b, two, "redis", "8", "redis");
	bench_store(b, one);
	bench_store(b, two);
	bench_active(b, one->hex, 1);
	bench_publish(b, one, bench_custom(1));
	bench_publish(b, two, bench_custom(2));
	assert_int_equal(bench_assign(b, 1, two->target, two->hex), 0);
}

static void
one_service_is_held_by_a_line_of_its_own(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	release_two_waits(b, &one, &two);
	bench_refused(b, bench_service(b, "update.hold", "nginx"), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "cluster.yaml names no such service");
	assert_int_equal(bench_service(b, "update.hold", "redis"), 0);
	assert_string_equal(site_last_leaf(b->t), "update hold");
	assert_true(row_says(b, "held"));
	assert_false(held_are(b, 1));
	assert_int_equal(bench_control(b, "update.hold", NULL), 0);
	assert_true(held_are(b, 1));
	assert_int_equal(bench_control(b, "update.unhold", NULL), 0);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_DENIED);
	assert_non_null(strstr(refuse_last()->text, "mainstay update unhold SERVICE"));
	assert_int_equal(bench_service(b, "update.unhold", "redis"), 0);
	assert_false(row_says(b, "held"));
	assert_false(held_are(b, 0));
}

/* --- once more ----------------------------------------------------------------------------------------------------- */
static void
remember(struct bench *b, enum change_kind kind, enum change_step end, const char *from, const char *to)
{
	struct change c = { .n = 1, .kind = kind, .items = { { .service = "redis", .step = end } }, .started_us = 1 };

	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", from);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", to);
	assert_int_equal(update_remember(b->u, &c, &c.items[0]), 0);
}

static void
what_went_back_goes_in_only_on_a_word_of_its_own(void **state)
{
	static const struct {
		enum change_kind kind;
		enum change_step end;
		bool forward; /* its change was to the release that waits; else away from it */
		bool back;
	} rows[] = {
		{ CHANGE_APPLY, CHANGE_ROLLED_BACK, true, true },
		{ CHANGE_AUTO, CHANGE_FAILED, true, true },
		{ CHANGE_ROLLBACK, CHANGE_GOOD, false, true }, /* a person went back from it */
		{ CHANGE_ROLLBACK, CHANGE_ROLLED_BACK, false, false },
		{ CHANGE_APPLY, CHANGE_GOOD, false, false },
	};
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	release_two_waits(b, &one, &two);
	assert_false(row_says(b, "went_back"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		remember(b, rows[i].kind, rows[i].end, rows[i].forward ? one.hex : two.hex,
			rows[i].forward ? two.hex : one.hex);
		assert_int_equal(row_says(b, "went_back"), rows[i].back);
	}
	remember(b, CHANGE_APPLY, CHANGE_ROLLED_BACK, one.hex, two.hex);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_CONFLICT);
	assert_string_equal(refuse_last()->operand, "redis");
	assert_non_null(strstr(refuse_last()->text, "mainstay update apply --again"));
	assert_null(b->u->run);
}

static void
once_more_is_begun_where_it_is_asked_for(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	struct site_answer a = { 0 };

	release_two_waits(b, &one, &two);
	remember(b, CHANGE_APPLY, CHANGE_ROLLED_BACK, one.hex, two.hex);
	bench_begin_with(b, "update.apply", json_pack("{s:s}", "again", "yes"), &a);
	bench_settle(b);
	assert_non_null(b->u->run);
	assert_string_equal(change_run_state(b->u->run)->items[0].to, two.hex);
	for (unsigned i = 0; i < 1000 && b->u->run; i++)
		bench_turn(b);
	assert_null(b->u->run);
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_difference_of_two_plans_is_told_in_words),
		cmocka_unit_test(by_itself_goes_only_what_harms_nobody),
		BENCH_TEST(one_service_is_held_by_a_line_of_its_own),
		BENCH_TEST(what_went_back_goes_in_only_on_a_word_of_its_own),
		BENCH_TEST(once_more_is_begun_where_it_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
