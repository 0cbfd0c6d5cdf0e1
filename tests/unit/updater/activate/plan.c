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

/* What differs between two definitions, as a member of the plan's row. */
static const struct {
	const char *from, *to, *member, *value;
} differences[] = {
	{ "", "", "defaults", "[]" },
	{ "knobs:\n  size: {type: int, default: 2}\n", "knobs:\n  size: {type: int, default: 3}\n", "defaults",
		"[{\"from\":2,\"knob\":\"size\",\"to\":3}]" },
	{ "", "knobs:\n  size: {type: int, default: 3}\n", "defaults", "[{\"from\":null,\"knob\":\"size\",\"to\":3}]" },
	{ "knobs:\n  room: {type: size, default: 1mb}\n", "knobs:\n  room: {type: size, default: 2mb}\n", "defaults",
		"[{\"from\":1048576,\"knob\":\"room\",\"to\":2097152,\"unit\":\"bytes\"}]" },
	{ "knobs:\n  mine: {type: int, default: 2}\n", "knobs:\n  mine: {type: int, default: 3}\n", "defaults", "[]" },
	{ "data: {format: one}\n", "data: {format: one}\n", "data", "\"same\"" },
	{ "data: {format: one}\n", "data: {format: two, accepts: [one]}\n", "data", "\"one-way\"" },
	{ "data: {format: one}\n", "data: {format: two}\n", "data", "\"not-readable\"" },
	{ "hooks: {snapshot: {argv: [/bin/run]}}\n", "", "snapshot", "true" },
	{ "", "hooks: {snapshot: {argv: [/bin/run]}}\n", "snapshot", "false" },
	{ "hooks: {snapshot: {argv: [/bin/run]}}\n", "", "restores", "false" },
	{ "hooks: {snapshot: {argv: [/bin/run]}, restore: {argv: [/bin/run]}}\n", "", "restores", "true" },
	{ "", "requires: {services: [nginx]}\n", "requires", "[\"nginx\"]" },
	{ "", "notes: [\"read this\"]\n", "notes", "[\"read this\"]" },
	{ "", "network: host\n", "new", "{\"fields\":[],\"operations\":[],\"powers\":[\"network=host\"]}" },
	{ "",
		"metrics: [{source: nats, socket: \"{run}/m\", path: /varz, fields: [connections, in_msgs]},"
		" {source: nats, socket: \"{run}/m\", path: /jsz, fields: [in_msgs, jetstream_bytes]}]\n",
		"new",
		"{\"fields\":[\"nats_up\",\"nats_connections\",\"nats_in_msgs\",\"nats_jetstream_bytes\"],"
		"\"operations\":[],\"powers\":[]}" },
	{ "", "", "files", "{\"added\":0,\"changed\":0,\"removed\":0}" },
	{ "", "", "downtime", "\"restart\"" },
};

static void
a_row_tells_what_differs(void **state)
{
	static const char yaml[] = "services:\n  redis:\n    channel: stable\n    knobs:\n      mine: 7\n";
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(differences); i++) {
		SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
		SCOPED(buf_done) struct buf got = BUF_MAX(4096);
		SCOPED_JSON *plan = NULL;
		const json_t *member;

		bench_release_with(b, &one, "redis", "7", "redis", differences[i].from);
		bench_release_with(b, &two, "redis", "8", "redis", differences[i].to);
		bench_store(b, &one);
		bench_store(b, &two);
		bench_active(b, one.hex, 1);
		bench_etc(b, "cluster.yaml", yaml, sizeof(yaml) - 1);
		services_reload(b->t->m);
		bench_settle(b);
		bench_publish(b, &one, bench_custom(1));
		bench_publish(b, &two, bench_custom(2));
		assert_int_equal(bench_assign(b, (unsigned)i + 1, two.target, two.hex), 0);
		assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.plan", NULL, NULL, 0, &plan), 0);
		member = json_object_get(json_array_get(json_object_get(plan, "items"), 0), differences[i].member);
		assert_int_equal(json_canonical(&got, member), 0);
		assert_string_equal(buf_text(&got), differences[i].value);
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

/* --- by itself, in a monitor --------------------------------------------------------------------------------------- */
static void
look_now(struct bench *b)
{
	b->u->looked_us = 0;
	update_automatic(b->u);
}

static void
set_policy(struct bench *b, bool open)
{
	static const char policy[] = "{\"rules\":[],\"v\":1,\"windows\":{\"updates\":[\"%s\"]}}";
	bool morning = clock_now_us() / 3600 / CLOCK_US_PER_S % 24 < 12;
	char text[256];

	(void)snprintf(text, sizeof(text), policy, morning == open ? "00:00-12:00" : "12:00-24:00");
	policy_free(b->t->m->policy);
	assert_int_equal(policy_parse(&b->t->m->policy, text, strlen(text)), 0);
}

static void
set_cluster(struct bench *b, const char *more)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "services:\n  redis:\n    channel: stable\n%s", more);
	bench_etc(b, "cluster.yaml", text, strlen(text));
	services_reload(b->t->m);
	bench_settle(b);
}

/* Each row lacks one thing of what lets a release go in by itself; the last lacks none. */
static void
by_itself_only_within_the_hours_that_are_given(void **state)
{
	static const struct {
		const char *name, *cluster;
		bool open, held, on, goes;
	} rows[] = {
		{ "nobody said auto", "", true, false, true, false },
		{ "outside the hours", "    update: auto\n", false, false, true, false },
		{ "all is held", "    update: auto\n", true, true, true, false },
		{ "the service is held", "    update: auto\n    hold: true\n", true, false, true, false },
		{ "updates are off", "    update: auto\n", true, false, false, false },
		{ "all is as it must be", "    update: auto\n", true, false, true, true },
	};
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	release_two_waits(b, &one, &two);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		set_cluster(b, rows[i].cluster);
		set_policy(b, rows[i].open);
		b->u->held = rows[i].held;
		bench_switch(b, rows[i].on ? "true" : "false");
		look_now(b);
		if ((b->u->run != NULL) != rows[i].goes)
			fail_msg("%s", rows[i].name);
	}
	assert_int_equal(change_run_state(b->u->run)->kind, CHANGE_AUTO);
	assert_string_equal(site_last_leaf(b->t), "update redis");
}

static void
data_and_powers_wait_for_a_person(void **state)
{
	static const struct {
		const char *name, *old, *new;
	} rows[] = {
		{ "data that goes one way", "data: {format: one}\n", "data: {format: two, accepts: [one]}\n" },
		{ "data that it cannot read", "data: {format: one}\n", "data: {format: two}\n" },
		{ "more powers", "", "network: host\n" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

		bench_release_with(b, &one, "redis", "7", "redis", rows[i].old);
		bench_release_with(b, &two, "redis", "8", "redis", rows[i].new);
		bench_store(b, &one);
		bench_store(b, &two);
		bench_active(b, one.hex, 1);
		bench_publish(b, &one, bench_custom(1));
		bench_publish(b, &two, bench_custom(2));
		assert_int_equal(bench_assign(b, (unsigned)i + 1, two.target, two.hex), 0);
		set_cluster(b, "    update: auto\n");
		set_policy(b, true);
		look_now(b);
		if (b->u->run)
			fail_msg("%s", rows[i].name);
		assert_true(row_says(b, "automatic")); /* nothing but that one thing is in its way */
		while (b->u->worker)
			bench_turn(b);
	}
}

/* Two that require each other, both with a new release; and both are only left out. */
static void
a_circle_is_named_and_left_out(void **state)
{
	static const char *const names[] = { "redis", "nginx" };
	static const char *const needs[] = { "requires: {services: [nginx]}\n", "requires: {services: [redis]}\n" };
	struct bench *b = *state;
	struct bench_release old[2] = { 0 }, new[2] = { 0 };
	struct lock lock = { 0 };
	SCOPED_JSON *plan = NULL;
	const json_t *row;

	for (size_t i = 0; i < 2; i++) {
		struct lock_entry e = { .version = "7", .channel = "stable", .counter = 1 };

		bench_release(b, &old[i], names[i], "7", names[i]);
		bench_release_with(b, &new[i], names[i], "8", names[i], needs[i]);
		(void)snprintf(new[i].target, sizeof(new[i].target), "services/%s/8/index.json", names[i]);
		bench_store(b, &old[i]);
		bench_store(b, &new[i]);
		(void)snprintf(e.service, sizeof(e.service), "%s", names[i]);
		(void)snprintf(e.release, sizeof(e.release), "%s", old[i].hex);
		assert_int_equal(lock_put(&lock, &e), 0);
		{
			char folder[96], file[96];

			(void)snprintf(folder, sizeof(folder), "incoming/tuf/targets/services/%s/8", names[i]);
			(void)snprintf(file, sizeof(file), "%s.index.json", new[i].hex);
			bench_file(b, folder, file, new[i].index.data, new[i].index.len);
		}
	}
	bench_etc(b, "cluster.yaml", "services:\n  nginx:\n  redis:\n", strlen("services:\n  nginx:\n  redis:\n"));
	assert_int_equal(lock_write(&lock, &b->t->paths), 0);
	services_reload(b->t->m);
	bench_settle(b);
	bench_publish(b, &new[0], bench_custom(2));
	bench_publish(b, &new[1], bench_custom(2));
	b->u->has_assignment = true;
	b->u->assignment.n = 2;
	for (size_t i = 0; i < 2; i++) {
		struct assignment_release *a = &b->u->assignment.releases[i];

		(void)snprintf(a->service, sizeof(a->service), "%s", names[i]);
		(void)snprintf(a->target, sizeof(a->target), "%s", new[i].target);
		assert_true(hex_decode(a->sha256, 32, new[i].hex));
	}
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.plan", NULL, NULL, 0, &plan), 0);
	assert_int_equal(json_array_size(json_object_get(plan, "items")), 2);
	row = json_array_get(json_object_get(plan, "items"), 1);
	assert_true(json_is_true(json_object_get(row, "ring")));
	assert_non_null(strstr(json_text(json_array_get(json_object_get(row, "problems"), 0), "text"),
		"redis requires nginx requires redis: none of them can go first"));
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_CONFLICT);
	assert_non_null(strstr(refuse_last()->text, "redis requires nginx requires redis"));
	/* Only one of them is new: it waits for nothing but what runs. */
	b->u->assignment.n = 1;
	assert_false(row_says(b, "ring"));
	for (size_t i = 0; i < 2; i++) {
		bench_release_done(&old[i]);
		bench_release_done(&new[i]);
	}
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_difference_of_two_plans_is_told_in_words),
		cmocka_unit_test(by_itself_goes_only_what_harms_nobody),
		cmocka_unit_test_setup_teardown(a_row_tells_what_differs, bench_set_up, bench_tear_down),
		BENCH_TEST(one_service_is_held_by_a_line_of_its_own),
		BENCH_TEST(what_went_back_goes_in_only_on_a_word_of_its_own),
		BENCH_TEST(once_more_is_begun_where_it_is_asked_for),
		BENCH_TEST(by_itself_only_within_the_hours_that_are_given),
		BENCH_TEST(data_and_powers_wait_for_a_person),
		BENCH_TEST(a_circle_is_named_and_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
