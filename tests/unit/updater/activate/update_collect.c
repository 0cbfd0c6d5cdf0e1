/* What nothing names any more goes out of the store; what is named stays. */
#include "tests/unit/updater/activate/bench.h"

static bool
is_there(struct bench *b, const char *name)
{
	return faccessat(b->u->store_fd, name, F_OK, 0) == 0;
}

static void
rest(struct bench *b)
{
	update_collect(b->u);
	for (unsigned i = 0; i < 100 && b->u->worker; i++)
		bench_turn(b);
	assert_null(b->u->worker);
}

/* A power cut while a release was staged that nobody wants any more. */
static void
what_a_cut_off_staging_left_goes(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	char named[80], unnamed[80], path[96];

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_active(b, one.hex, 1);
	(void)snprintf(named, sizeof(named), ".stage-%s", one.hex);
	(void)snprintf(unnamed, sizeof(unnamed), ".stage-%s", two.hex);
	assert_int_equal(mkdirat(b->u->store_fd, named, 0755), 0);
	assert_int_equal(mkdirat(b->u->store_fd, unnamed, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/bin", unnamed);
	assert_int_equal(mkdirat(b->u->store_fd, path, 0755), 0);
	rest(b);
	assert_true(is_there(b, named)); /* its staging comes again, and sweeps it */
	assert_false(is_there(b, unnamed));
}

/* A removal that was cut off has taken the tree's name, or all but its index. */
static void
what_a_cut_off_removal_left_goes(void **state)
{
	static const char *const before[] = { "", ".stage-", "", "" }, *const behind[] = { "", "", ".json", ".definition.json" };
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	char name[96];

	bench_release(b, &r, "redis", "7", "redis");
	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		(void)snprintf(name, sizeof(name), "%s%s%s", before[i], r.hex, behind[i]);
		if (i < 2)
			assert_int_equal(mkdirat(b->u->store_fd, name, 0755), 0);
		else
			assert_int_equal(fs_replace(b->u->store_fd, name, "{}", 2, 0644), 0);
		rest(b);
		assert_false(is_there(b, name));
	}
}

/* Nobody else would come by to see to it for half a minute, nor ever where updates are off. */
static void
a_removal_whose_worker_was_killed_is_made_again(void **state)
{
	struct bench *b = *state;
	struct spawn_fake *f = b->t->spawner;
	SCOPED(bench_release_done) struct bench_release r = { 0 };

	bench_release(b, &r, "redis", "7", "redis");
	assert_int_equal(mkdirat(b->u->store_fd, r.hex, 0755), 0);
	update_collect(b->u);
	assert_non_null(b->u->worker);
	for (unsigned i = 0; i < 100 && b->u->worker; i++) {
		assert_true(turn_alone(b->t->loop, 10000) >= 0);
		for (size_t j = 0; j < f->n_calls; j++)
			if (f->calls[j].fd >= 0 && strcmp(f->calls[j].what, "activate") == 0) {
				(void)close(f->calls[j].fd);
				f->calls[j].fd = -1;
			}
	}
	assert_null(b->u->worker);
	assert_true(is_there(b, r.hex));
	for (unsigned i = 0; i < 2000 && is_there(b, r.hex); i++)
		bench_turn(b);
	assert_false(is_there(b, r.hex));
}

/* Five releases: what runs, what ran before, what is assigned, what nothing names; and while a change runs, all. */
static void
what_is_named_stays(void **state)
{
	static const struct {
		const char *version;
		bool stays;
	} rows[] = { { "7", true }, { "8", true }, { "9", true }, { "10", false } };
	struct bench *b = *state;
	struct bench_release r[ARRAY_LEN(rows)] = { 0 };
	struct change c = { .id = "00", .n = 1, .items = { { .service = "redis", .step = CHANGE_GOOD } }, .started_us = 1 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bench_release(b, &r[i], "redis", rows[i].version, "redis");
		bench_store(b, &r[i]);
	}
	bench_active(b, r[1].hex, 2);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", r[0].hex);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", r[1].hex);
	assert_int_equal(update_remember(b->u, &c, &c.items[0]), 0);
	b->u->has_assignment = true;
	b->u->assignment.n = 1;
	(void)snprintf(b->u->assignment.releases[0].service, sizeof(b->u->assignment.releases[0].service), "redis");
	assert_true(hex_decode(b->u->assignment.releases[0].sha256, 32, r[2].hex));
	/* A change names its releases in the journal: nothing goes while one runs. */
	c.items[0].step = CHANGE_HEALTH;
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", r[3].hex);
	{
		static const struct change_run_ops none = { 0 };

		assert_int_equal(change_run_start(&b->u->run, b->t->m, b->u->journal_fd, &c, NULL, &none, NULL), 0);
		update_collect(b->u);
		assert_null(b->u->worker);
		b->u->run = change_run_cancel(b->u->run);
		assert_int_equal(change_clear(b->u->journal_fd), 0);
	}
	rest(b);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (is_there(b, r[i].hex) != rows[i].stays)
			fail_msg("%s", rows[i].version);
		bench_release_done(&r[i]);
	}
	b->u->has_assignment = false;
}

static void
other_names_are_left_alone(void **state)
{
	static const char *const names[] = { ".lock", ".stage-abc", "lost+found", "abc.json" };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(fs_replace(b->u->store_fd, names[i], "", 0, 0644), 0);
	rest(b);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(is_there(b, names[i]));
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(what_a_cut_off_staging_left_goes),
		BENCH_TEST(what_a_cut_off_removal_left_goes),
		BENCH_TEST(a_removal_whose_worker_was_killed_is_made_again),
		BENCH_TEST(what_is_named_stays),
		BENCH_TEST(other_names_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
