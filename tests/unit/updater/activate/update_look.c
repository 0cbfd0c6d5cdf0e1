/* `update check`: it waits for a refresh that began after it, and says what is there by then. */
#include "tests/unit/updater/activate/bench.h"

#include "updater/fetch/fetch_wire.h"

static const json_t *
row_of(const struct site_answer *a, size_t i)
{
	return json_array_get(json_object_get(a->json, "items"), i);
}

static const char *
hold(const struct site_answer *a, const char *member)
{
	return json_text(json_array_get(json_object_get(row_of(a, 0), "holds"), 0), member);
}

static void
begin(struct bench *b, struct site_answer *a)
{
	bench_begin_with(b, "update.check", NULL, a);
	bench_settle(b);
	assert_false(a->came);
}

static void
objects(struct bench *b)
{
	assert_int_equal(bench_call(b, CALL_ROLE_COURIER, "update.objects", NULL, NULL, 0, NULL), 0);
}

static void
stopped(struct bench *b, const char *reason, const char *why)
{
	assert_int_equal(bench_call(b, CALL_ROLE_COURIER, FETCH_WIRE_STOPPED, json_pack("{s:s, s:s}", "reason", reason, "why", why),
				 NULL, 0, NULL),
		0);
}

/* One whole look; the answer's json is the caller's. */
static void
look(struct bench *b, const struct bench_release *newest, struct site_answer *a)
{
	begin(b, a);
	bench_publish(b, newest, bench_custom(2));
	objects(b);
	assert_true(a->came);
	assert_int_equal(a->r, 0);
}

struct two {
	struct bench_release one, two;
};

static void
two_done(struct two *t)
{
	bench_release_done(&t->one);
	bench_release_done(&t->two);
}

/* Release 7 runs, 8 is signed and assigned; where staged, it lies in the store. */
static void
two_set_up(struct bench *b, struct two *t, const char *more, bool staged)
{
	bench_release(b, &t->one, "redis", "7", "redis");
	bench_release_with(b, &t->two, "redis", "8", "redis", more);
	bench_store(b, &t->one);
	if (staged)
		bench_store(b, &t->two);
	bench_active(b, t->one.hex, 1);
	bench_publish(b, &t->one, bench_custom(1));
	bench_publish(b, &t->two, bench_custom(2));
	assert_int_equal(bench_assign(b, 1, t->two.target, t->two.hex), 0);
}

static void
a_look_waits_for_what_began_after_it(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };
	struct site_answer a;

	two_set_up(b, &t, "", true);
	begin(b, &a);
	objects(b); /* of a run that began before */
	assert_false(a.came);
	bench_publish(b, &t.two, bench_custom(2));
	objects(b);
	assert_true(a.came);
	assert_int_equal(a.r, 0);
	assert_int_equal(json_array_size(json_object_get(a.json, "items")), 1);
	assert_string_equal(json_text(row_of(&a, 0), "service"), "redis");
	assert_string_equal(json_text(row_of(&a, 0), "runs"), "7");
	assert_string_equal(json_text(row_of(&a, 0), "assigned"), "8");
	assert_string_equal(json_text(row_of(&a, 0), "release"), t.two.hex);
	assert_string_equal(json_text(row_of(&a, 0), "state"), "staged");
	assert_int_equal(json_array_size(json_object_get(row_of(&a, 0), "holds")), 0);
	assert_string_equal(json_text(row_of(&a, 0), "signed"), "");
	json_decref(a.json);
}

static void
what_runs_is_said_to_be_the_newest(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };
	struct site_answer a;

	two_set_up(b, &t, "", true);
	bench_active(b, t.two.hex, 2);
	look(b, &t.two, &a);
	assert_string_equal(json_text(row_of(&a, 0), "state"), "current");
	assert_int_equal(json_array_size(json_object_get(row_of(&a, 0), "holds")), 0);
	json_decref(a.json);
}

/* The hub may keep to an older one; the vendor's own signatures tell. */
static void
what_the_hub_does_not_assign_is_said(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };
	struct site_answer a;

	two_set_up(b, &t, "", true);
	assert_int_equal(bench_assign(b, 2, t.one.target, t.one.hex), 0);
	look(b, &t.two, &a);
	assert_string_equal(json_text(row_of(&a, 0), "state"), "current");
	assert_string_equal(json_text(row_of(&a, 0), "signed"), "8");
	json_decref(a.json);
	assert_int_equal(unlinkat(b->t->m->dir_fd, "assignment.json", 0), 0);
	bench_restart(b);
	look(b, &t.two, &a);
	assert_string_equal(json_text(row_of(&a, 0), "state"), "unassigned");
	assert_string_equal(json_text(row_of(&a, 0), "signed"), "8");
	json_decref(a.json);
}

static void
what_is_still_to_come_is_counted(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };
	struct site_answer a;
	char path[512], hex[65];

	two_set_up(b, &t, "", false);
	hex_encode(hex, t.two.definition, sizeof(t.two.definition));
	(void)snprintf(path, sizeof(path), "%s/incoming/objects/%.2s/%s.zst", b->t->paths.lib, hex, hex);
	assert_int_equal(unlink(path), 0);
	look(b, &t.two, &a);
	assert_string_equal(json_text(row_of(&a, 0), "state"), "coming");
	assert_true(json_integer_value(json_object_get(row_of(&a, 0), "bytes")) > 0);
	json_decref(a.json);
}

static const struct {
	const char *cluster, *more;
	bool held;
	const char *reason, *text;
	bool automatic;
} holds[] = {
	{ "", "", true, "denied", "all updates are held: mainstay update unhold", false },
	{ "    hold: true\n", "", false, "denied", "cluster.yaml holds it: mainstay update unhold redis", false },
	{ "", "network: host\n", false, "not-approved", "mainstay service accept redis power network=host", false },
	{ "    update: auto\n", "", false, NULL, NULL, true },
	{ "    update: auto\n", "data: {format: two, accepts: [one]}\n", false, "not-approved", "data: one-way", false },
	{ "    update: auto\n", "", true, "denied", "all updates are held", false },
};

static void
what_holds_a_release_is_said_with_its_remedy(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(holds); i++) {
		SCOPED(two_done) struct two t = { 0 };
		struct site_answer a;
		char yaml[256];

		bench_release_with(b, &t.one, "redis", "7", "redis", strstr(holds[i].more, "data:") ? "data: {format: one}\n" : "");
		bench_release_with(b, &t.two, "redis", "8", "redis", holds[i].more);
		b->u->looked_us = clock_mono_us(); /* that it goes is not what is asked here */
		bench_store(b, &t.one);
		bench_active(b, t.one.hex, 1);
		(void)snprintf(yaml, sizeof(yaml), "%s%s", bench_cluster, holds[i].cluster);
		bench_etc(b, "cluster.yaml", yaml, strlen(yaml));
		services_reload(b->t->m);
		bench_settle(b);
		b->u->held = holds[i].held;
		bench_publish(b, &t.one, bench_custom(1));
		bench_publish(b, &t.two, bench_custom(2));
		assert_int_equal(bench_assign(b, (unsigned)i + 1, t.two.target, t.two.hex), 0);
		if (!update_is_staged(b->u, t.two.hex)) /* before it was assigned, nothing named it */
			bench_store(b, &t.two);
		look(b, &t.two, &a);
		assert_string_equal(hold(&a, "reason"), holds[i].reason ?: "");
		assert_true(!holds[i].text || strstr(hold(&a, "text"), holds[i].text));
		assert_int_equal(json_is_true(json_object_get(row_of(&a, 0), "automatic")), holds[i].automatic);
		json_decref(a.json);
	}
}

static void
a_refused_release_is_said_to_be_one(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };
	struct site_answer a;
	char other[65];

	two_set_up(b, &t, "", true);
	memset(other, '1', 64);
	other[64] = '\0';
	assert_int_equal(bench_assign(b, 2, t.two.target, other), 0);
	look(b, &t.two, &a);
	assert_string_equal(json_text(row_of(&a, 0), "state"), "refused");
	assert_string_equal(hold(&a, "reason"), "hash-mismatch");
	json_decref(a.json);
}

static void
what_ends_soon_is_said(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };

	for (unsigned days = 1; days <= 3; days += 2) {
		struct site_answer a;
		const json_t *row;
		size_t i, soon = 0;

		if (days == 1)
			two_set_up(b, &t, "", true);
		b->timestamp_ends_us = clock_now_us() + days * 86400 * CLOCK_US_PER_S;
		look(b, &t.two, &a);
		json_array_foreach (json_object_get(a.json, "expires"), i, row)
			if (json_is_true(json_object_get(row, "soon"))) {
				soon++;
				assert_string_equal(json_text(row, "role"), "timestamp");
			}
		assert_int_equal(soon, days == 1);
		assert_true(json_array_size(json_object_get(a.json, "expires")) >= 4);
		json_decref(a.json);
	}
}

/* --- what keeps it from looking ---------------------------------------------------------------------------------------- */
static void
a_look_that_was_stopped_says_why(void **state)
{
	struct bench *b = *state;
	struct site_answer a;
	uint64_t before = refuse_count(REASON_UNREACHABLE);

	begin(b, &a);
	stopped(b, "interrupted", "the monitor refused"); /* nothing of ours: it is looked again */
	assert_false(a.came);
	stopped(b, "not-found", "the hub answered 404"); /* of a run that began before */
	assert_true(a.came);
	assert_int_equal(a.r, REASON_UNREACHABLE);
	begin(b, &a);
	stopped(b, "unreachable", "connection refused");
	assert_int_equal(bench_end(b, &a, 1), REASON_UNREACHABLE);
	assert_non_null(strstr(a.why.text, "connection refused"));
	assert_int_equal(refuse_count(REASON_UNREACHABLE), before + 2);
	assert_string_equal(b->u->state, "idle");
}

static void
a_site_without_an_assignment_is_told_so(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 };
	struct site_answer a;

	bench_release(b, &one, "redis", "7", "redis");
	bench_active(b, NULL, 0);
	begin(b, &a);
	bench_publish(b, &one, bench_custom(1));
	stopped(b, "not-found", "the hub answered 404");
	assert_true(a.came);
	assert_int_equal(a.r, 0);
	assert_string_equal(json_text(a.json, "trouble"), "the hub assigns this site no release");
	assert_string_equal(json_text(row_of(&a, 0), "state"), "unassigned");
	assert_string_equal(json_text(row_of(&a, 0), "runs"), "");
	json_decref(a.json);
}

static void
metadata_that_was_refused_is_the_answer(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 };
	struct site_answer a;
	uint64_t count;
	int r = 0;

	bench_release(b, &one, "redis", "7", "redis");
	bench_publish(b, &one, bench_custom(1));
	begin(b, &a);
	bench_file(b, "incoming/tuf", "timestamp.json", "{}", 2);
	assert_int_equal(bench_call(b, CALL_ROLE_COURIER, "update.metadata", NULL, NULL, 0, NULL), 0);
	assert_int_equal(bench_call(b, CALL_ROLE_COURIER, "update.metadata", json_pack("{s:s}", "absent", "2.root.json"), NULL, 0, NULL),
		0);
	r = bench_call(b, CALL_ROLE_COURIER, "update.metadata", json_pack("{s:s}", "name", "timestamp.json"), NULL, 0, NULL);
	assert_true(r > 0);
	count = refuse_count((enum reason)r);
	stopped(b, "interrupted", "the monitor refused");
	assert_int_equal(bench_end(b, &a, 1), r);
	assert_int_equal(refuse_count((enum reason)r), count); /* it was counted when it was refused */
	/* A good one makes that forgotten. */
	begin(b, &a);
	bench_publish(b, &one, bench_custom(1));
	stopped(b, "interrupted", "the monitor refused");
	assert_false(a.came);
	objects(b);
	assert_int_equal(bench_end(b, &a, 1), 0);
}

static void
an_assignment_that_was_refused_is_the_answer(void **state)
{
	struct bench *b = *state;
	SCOPED(two_done) struct two t = { 0 };
	struct site_answer a;
	uint64_t before;

	two_set_up(b, &t, "", true);
	assert_int_equal(bench_assign(b, 5, t.two.target, t.two.hex), 0);
	begin(b, &a);
	before = refuse_count(REASON_ROLLBACK);
	assert_int_equal(bench_assign(b, 4, t.two.target, t.two.hex), REASON_ROLLBACK);
	assert_int_equal(bench_end(b, &a, 1), REASON_ROLLBACK);
	assert_string_equal(a.why.operand, "assignment");
	assert_int_equal(refuse_count(REASON_ROLLBACK), before + 1);
}

static void
without_a_courier_nobody_looks(void **state)
{
	struct bench *b = *state;
	struct site_answer a;
	uint64_t before = refuse_count(REASON_UNREACHABLE);

	begin(b, &a);
	assert_int_equal(bench_end(b, &a, 5), REASON_UNREACHABLE);
	assert_non_null(strstr(a.why.text, "is not running"));
	assert_int_equal(refuse_count(REASON_UNREACHABLE), before + 1);
}

static void
a_hub_that_tells_nothing_is_not_waited_for(void **state)
{
	struct bench *b = *state;
	struct site_answer a;
	uint64_t before = refuse_count(REASON_UNREACHABLE);

	begin(b, &a);
	b->u->waiting[0].tries = 1000;
	assert_int_equal(bench_end(b, &a, 5), REASON_UNREACHABLE);
	assert_non_null(strstr(a.why.text, "told nothing of releases within"));
	assert_int_equal(refuse_count(REASON_UNREACHABLE), before + 1);
}

int
main(void)
{
#define LOOK_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		LOOK_TEST(a_look_waits_for_what_began_after_it),
		LOOK_TEST(what_runs_is_said_to_be_the_newest),
		LOOK_TEST(what_the_hub_does_not_assign_is_said),
		LOOK_TEST(what_is_still_to_come_is_counted),
		LOOK_TEST(what_holds_a_release_is_said_with_its_remedy),
		LOOK_TEST(a_refused_release_is_said_to_be_one),
		LOOK_TEST(what_ends_soon_is_said),
		LOOK_TEST(a_look_that_was_stopped_says_why),
		LOOK_TEST(a_site_without_an_assignment_is_told_so),
		LOOK_TEST(metadata_that_was_refused_is_the_answer),
		LOOK_TEST(an_assignment_that_was_refused_is_the_answer),
		LOOK_TEST(without_a_courier_nobody_looks),
		LOOK_TEST(a_hub_that_tells_nothing_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
