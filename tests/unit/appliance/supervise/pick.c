/* Which core `mainstay run` starts, and what it makes of one on trial that ends, hangs, or is not there. */
#include "appliance/supervise/pick.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/roster.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

struct site {
	struct scratch s;
	struct paths paths;
	int core;
	struct pick pick;
};

static const struct slots_tree tree = { .present = true, .digest = { 0xab }, .counter = 1, .version = "9.9" };

static int
setup(void **state)
{
	struct site *t = calloc(1, sizeof(*t));

	scratch_make(&t->s);
	assert_int_equal(fs_paths(&t->paths, t->s.path), 0);
	assert_int_equal(slots_open(&t->core, &t->paths), 0);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct site *t = *state;

	(void)close(t->core);
	scratch_remove(&t->s);
	free(t);
	return 0;
}

static void
on_trial(struct site *t, unsigned tries)
{
	struct slots s;

	assert_int_equal(slots_load(&s, t->core), 0);
	assert_int_equal(slots_begin(&s, SLOTS_A, &tree, tries, 4000, 1000), 0);
	assert_int_equal(slots_save(&s, t->core), 0);
}

static struct slots
now(struct site *t)
{
	struct slots s;

	assert_int_equal(slots_load(&s, t->core), 0);
	return s;
}

static bool
is_good(struct slots *s)
{
	struct slots_now moment;

	assert_int_equal(slots_now(&moment), 0);
	return slots_good(s, SLOTS_A, SLOTS_STATE_FORMAT, &moment);
}

static void
change(struct site *t, void (*how)(struct slots *s))
{
	struct slots s = now(t);

	how(&s);
	assert_int_equal(slots_save(&s, t->core), 0);
}

static void
begun_before(struct slots *s)
{
	s->begun_ms -= 1500;
}

static void
begun_long_ago(struct slots *s)
{
	s->begun_ms -= 4000;
}

static void
in_another_form(struct slots *s)
{
	(void)snprintf(s->format, sizeof(s->format), "mainstay-9");
}

/* The store has it, with a supervisor in it. */
static void
store(struct site *t)
{
	SCOPED(scope_close) int bin = -1;
	char digest[SHA256_TEXT_MAX], path[512];

	(void)snprintf(path, sizeof(path), "%s/store/%s/bin", t->paths.lib,
		sha256_text(digest, tree.digest) + strlen("sha256:"));
	assert_int_equal(fs_open_dir(&bin, AT_FDCWD, path, 0755), 0);
	assert_int_equal(fs_replace(bin, "mainstay-supervise", "x", 1, 0755), 0);
}

/* A daemon of the roster, which the core that is given up must not leave behind. */
static struct child
daemon_of(struct site *t)
{
	SCOPED(scope_free) struct roster *r = calloc(1, sizeof(*r));
	SCOPED(scope_close) int run = -1, dir = -1;
	struct child child = { .pidfd = -1 };
	pid_t pid = scratch_start(&t->s, (const char *[]){ "sleep", "600", NULL });
	uint64_t start = 0;

	assert_int_equal(child_starttime(&start, pid), 0);
	assert_int_equal(child_adopt(&child, pid, start), 0);
	r->n = 1;
	r->entries[0] = (struct roster_entry){ .role = ROSTER_MONITOR, .pid = pid, .start_time = start, .ready = true };
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, t->paths.run, 0755), 0);
	assert_int_equal(fs_open_dir(&dir, run, "supervise", 0755), 0);
	assert_int_equal(roster_save(r, run), 0);
	return child;
}

static void
the_package_runs_where_nothing_else_is_said(void **state)
{
	struct site *t = *state;

	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_PACKAGED);
	assert_false(t->pick.trial);
	assert_false(t->pick.clear);
	assert_string_equal(now(t).packaged, MAINSTAY_VERSION);
	assert_false(pick_unstarted(&t->pick, &t->paths)); /* nothing else could be tried */
	assert_int_equal(pick_ended(&t->pick, &t->paths), 0);
	assert_int_equal(now(t).failed, SLOTS_NONE);
}

static void
a_trial_is_started_from_the_store(void **state)
{
	struct site *t = *state;
	SCOPED(scope_close) int fd = -1;

	store(t);
	on_trial(t, 1);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_A);
	assert_true(t->pick.trial);
	assert_true(t->pick.clear);
	assert_int_equal(t->pick.trial_ms, 4000);
	assert_int_equal(now(t).tries, 0); /* on the disk before it is started */
	assert_int_equal(pick_program(&fd, &t->pick, &t->paths, "mainstay-supervise"), 0);
	assert_true(fd >= 0);
}

static void
one_that_is_not_there_gives_way(void **state)
{
	struct site *t = *state;
	int fd = -1;

	on_trial(t, 1);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_true(pick_program(&fd, &t->pick, &t->paths, "mainstay-supervise") < 0);
	assert_true(pick_unstarted(&t->pick, &t->paths));
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_PACKAGED);
	assert_int_equal(now(t).failed, SLOTS_A);
	assert_int_equal(now(t).why, SLOTS_WHY_UNSTARTED);
	/* A good one whose tree is gone: the package, for as long as this run lives. */
	on_trial(t, 1);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	{
		struct slots s = now(t);

		assert_true(is_good(&s));
		assert_int_equal(slots_save(&s, t->core), 0);
	}
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_A);
	assert_false(t->pick.trial);
	assert_true(pick_unstarted(&t->pick, &t->paths));
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_PACKAGED);
	assert_true(t->pick.clear);
	assert_int_equal(now(t).active, SLOTS_A); /* the next run looks again */
}

static void
what_ended_or_hung_is_ended_whole(void **state)
{
	static const struct {
		int (*how)(const struct pick *pick, const struct paths *paths);
		enum slots_why why;
	} rows[] = { { NULL, SLOTS_WHY_ENDED }, { pick_late, SLOTS_WHY_SILENT } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct site *t = *state;
		struct child child = daemon_of(t);

		on_trial(t, 1);
		assert_int_equal(pick_core(&t->pick, &t->paths), 0);
		assert_true(child_alive(child.pid, child.starttime));
		if (rows[i].how)
			assert_int_equal(rows[i].how(&t->pick, &t->paths), 0);
		assert_int_equal(pick_ended(&t->pick, &t->paths), 0);
		assert_false(child_alive(child.pid, child.starttime));
		assert_int_equal(now(t).why, rows[i].why);
		assert_int_equal(pick_core(&t->pick, &t->paths), 0);
		assert_int_equal(t->pick.slot, SLOTS_PACKAGED);
		assert_int_equal(now(t).failed, SLOTS_A);
		scratch_stop(child.pid);
		(void)close(child.pidfd);
	}
}

/* What became good in the last moment is left alone. */
static void
one_that_is_good_by_then_goes_on(void **state)
{
	struct site *t = *state;
	struct child child = daemon_of(t);
	struct slots s;

	on_trial(t, 1);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	s = now(t);
	assert_true(is_good(&s));
	assert_int_equal(slots_save(&s, t->core), 0);
	assert_int_equal(pick_late(&t->pick, &t->paths), 0);
	assert_int_equal(pick_ended(&t->pick, &t->paths), 0);
	assert_true(child_alive(child.pid, child.starttime));
	assert_int_equal(now(t).why, SLOTS_WHY_NONE);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_A);
	assert_false(t->pick.clear);
	scratch_stop(child.pid);
	(void)close(child.pidfd);
}

/* A run that was killed and comes again goes on with the try, and counts from where it began; once that is over, it is so
 * for good. */
static void
another_run_counts_on(void **state)
{
	struct site *t = *state;

	on_trial(t, 2);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	change(t, begun_before);
	t->pick = (struct pick){ 0 };
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_A);
	assert_true(t->pick.trial && t->pick.clear);
	assert_in_range(t->pick.trial_ms, 1, 2500);
	assert_int_equal(now(t).tries, 1);
	change(t, begun_long_ago);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_A);
	assert_in_range(t->pick.trial_ms, 3000, 4000); /* the second try */
	change(t, begun_long_ago);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_PACKAGED);
	assert_int_equal(now(t).failed, SLOTS_A);
	assert_int_equal(now(t).why, SLOTS_WHY_SILENT);
}

/* lib/ in a form that the package does not take over: alone it is not started, and takes no core's place. */
static void
the_package_must_know_the_form(void **state)
{
	struct site *t = *state;
	uint64_t count;
	struct slots s;

	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_string_equal(now(t).format, SLOTS_STATE_FORMAT);
	assert_string_equal(now(t).accepts, SLOTS_STATE_ACCEPTS);
	change(t, in_another_form);
	count = refuse_count(REASON_CONFLICT);
	assert_int_equal(pick_core(&t->pick, &t->paths), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), count + 1);
	assert_non_null(strstr(refuse_last()->text, "lib/ has the form mainstay-9"));
	assert_string_equal(now(t).format, "mainstay-9");
	/* A core that does goes on; where it cannot be started, nothing does. */
	s = now(t);
	s.tree[0] = tree;
	s.active = SLOTS_A;
	assert_int_equal(slots_save(&s, t->core), 0);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_A);
	assert_true(pick_unstarted(&t->pick, &t->paths));
	assert_int_equal(pick_core(&t->pick, &t->paths), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), count + 2);
	assert_int_equal(now(t).active, SLOTS_A);
}

/* A try that could not be taken off durably is none: what was active runs. */
static void
a_full_disk_tries_nothing(void **state)
{
	struct site *t = *state;
	struct slots s;

	on_trial(t, 3);
	s = now(t);
	assert_int_equal(mkdirat(t->core, (s.generation + 1) % 2 ? "slots.1" : "slots.0", 0700), 0);
	assert_int_equal(pick_core(&t->pick, &t->paths), 0);
	assert_int_equal(t->pick.slot, SLOTS_PACKAGED);
	assert_false(t->pick.trial);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_package_runs_where_nothing_else_is_said),
		TEST(a_trial_is_started_from_the_store),
		TEST(one_that_is_not_there_gives_way),
		TEST(what_ended_or_hung_is_ended_whole),
		TEST(one_that_is_good_by_then_goes_on),
		TEST(another_run_counts_on),
		TEST(the_package_must_know_the_form),
		TEST(a_full_disk_tries_nothing),
	};

	return cmocka_run_group_tests_name("pick", tests, NULL, NULL);
}
