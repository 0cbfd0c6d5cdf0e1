#include "telemetry/store/build.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "telemetry/store/head.h"
#include "telemetry/store/metric_load.h"
#include "telemetry/store/store.h"
#include "tests/fakes/hub_bench.h"

#define NOW_MS ((int64_t)(BENCH_NOW / 1000))
#define CHUNK_MS ((int64_t)BUILD_CHUNK_S * 1000)
#define DAY_MS ((int64_t)86400 * 1000)

static const struct serve_module *const modules[] = { &store_module, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

static struct head *
head(void)
{
	struct head *h;

	assert_int_equal(head_open(&h, "acme", bench_db()), 0);
	return h;
}

/* One series "m"; a batch of n points, each step_ms after the one before. */
static void
put_in(struct db *db, int64_t from_ms, int64_t step_ms, size_t n, double first, bool commit)
{
	struct otlp_point p = { .name = { "m", 1 }, .kind = OTLP_KIND_GAUGE, .has_value = true };
	struct store_batch *b;

	assert_int_equal(db_begin(db), 0);
	assert_int_equal(store_begin(&b, "acme", db, "acme-1", ""), 0);
	for (size_t i = 0; i < n; i++) {
		p.time_ns = (uint64_t)(from_ms + (int64_t)i * step_ms) * 1000000;
		p.real = first + (double)i;
		if (store_point(b, &p) != 0)
			fail();
	}
	assert_int_equal(store_write(b), 0);
	if (commit)
		assert_int_equal(db_commit(db), 0);
	store_end(b, commit);
}

static void
put(int64_t from_ms, int64_t step_ms, size_t n, double first)
{
	put_in(bench_db(), from_ms, step_ms, n, first, true);
}

static void
build(void)
{
	assert_int_equal(build_site(head(), 0, bench_db()), 0);
}

/* What a query would read of the one series. */
static struct metric_samples samples;

static size_t
load(int64_t from_ms, int64_t to_ms, int64_t raw_ms)
{
	int64_t id = bench_count(bench_db(), "SELECT min(id) FROM series");

	assert_int_equal(metric_load(&samples, head(), bench_db(), id, from_ms, to_ms, raw_ms, 1000000), 0);
	return samples.n;
}

static int
teardown(void **state)
{
	metric_load_done(&samples);
	return bench_teardown(state);
}

static void
test_points_become_blocks_once_it_is_time(void **state)
{
	(void)state;
	put(NOW_MS - 3600000, 10000, 250, 0);
	assert_false(build_is_due(head(), 0, BENCH_NOW));
	assert_false(build_is_due(head(), 0, BENCH_NOW + (BUILD_AFTER_S - 1) * CLOCK_US_PER_S));
	assert_true(build_is_due(head(), 0, BENCH_NOW + BUILD_AFTER_S * CLOCK_US_PER_S));
	assert_int_equal(load(0, NOW_MS, 0), 250);
	build();
	assert_int_equal(head_points(), 0);
	assert_false(build_is_due(head(), 0, BENCH_NOW + BUILD_AFTER_S * CLOCK_US_PER_S));
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM point_batches"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM blocks"), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT sum(points) FROM blocks"), 250);
	assert_int_equal(bench_count(bench_db(), "SELECT last_value FROM series"), 249);
	assert_int_equal(load(0, NOW_MS, 0), 250);
	for (size_t i = 0; i < samples.n; i++)
		assert_true(samples.items[i].last == (double)i);
}

static void
test_what_comes_late_or_twice_takes_its_place(void **state)
{
	(void)state;
	put(NOW_MS - 100000, 1000, 10, 0);
	build();
	put(NOW_MS - 99000, 1000, 2, 50); /* over the second and third */
	put(NOW_MS - 200000, 1000, 1, 70); /* before all */
	assert_int_equal(load(0, NOW_MS, 0), 11);
	build();
	assert_int_equal(load(0, NOW_MS, 0), 11);
	assert_true(samples.items[0].last == 70);
	assert_true(samples.items[1].last == 0);
	assert_true(samples.items[2].last == 50);
	assert_true(samples.items[3].last == 51);
	assert_true(samples.items[4].last == 3);
	/* The newest is by time, not by when it came. */
	assert_int_equal(bench_count(bench_db(), "SELECT last_value FROM series"), 9);
}

static void
test_a_hub_that_begins_anew_knows_what_is_open(void **state)
{
	(void)state;
	put(NOW_MS - 100000, 1000, 10, 0);
	build();
	put(NOW_MS - 50000, 1000, 10, 20);
	head_forget_all();
	assert_int_equal(head_points(), 0);
	assert_int_equal(load(0, NOW_MS, 0), 20);
	assert_int_equal(head_points(), 10);
	bench_restart(modules);
	assert_int_equal(load(0, NOW_MS, 0), 20);
}

static void
test_a_damaged_row_is_a_fault_and_no_data(void **state)
{
	struct head *h;

	(void)state;
	put(NOW_MS - 100000, 1000, 10, 0);
	assert_int_equal(db_exec(bench_db(), "UPDATE point_batches SET body = ?1", "b", "\xff\xff", (size_t)2), 0);
	head_forget_all();
	assert_int_equal(head_open(&h, "acme", bench_db()), -EUCLEAN);
}

static void
test_old_points_are_rolled_up_and_swept(void **state)
{
	int64_t begin_ms = (NOW_MS - 2 * DAY_MS) / CHUNK_MS * CHUNK_MS;
	bool gone;

	(void)state;
	put(begin_ms, 100000, 720, 0); /* one chunk of 20 h: three points in each five minutes */
	build();
	assert_int_equal(build_roll(bench_db(), BENCH_NOW, 10), 1);
	assert_int_equal(build_roll(bench_db(), BENCH_NOW, 10), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM rollups"), 1);
	/* Only rolled up: of each five minutes one. */
	assert_int_equal(load(begin_ms, begin_ms + CHUNK_MS, NOW_MS), 240);
	for (size_t i = 0; i < samples.n; i++) {
		const struct metric_sample *s = &samples.items[i];
		double first = 3 * (double)i;

		assert_true(s->time_ms == begin_ms + (int64_t)i * 300000);
		assert_true(s->min == first && s->max == first + 2 && s->last == first + 2 && s->sum == 3 * first + 3 && s->count == 3);
	}
	/* What comes late into it is rolled up again. */
	put(begin_ms + 1000, 1000, 1, 5000);
	build();
	assert_int_equal(build_roll(bench_db(), BENCH_NOW, 10), 1);
	assert_int_equal(load(begin_ms, begin_ms + CHUNK_MS, NOW_MS), 240);
	assert_true(samples.items[0].max == 5000 && samples.items[0].count == 4);
	/* Points go after 15 days, what was rolled up stays for 400. */
	assert_int_equal(build_sweep(head(), bench_db(), BENCH_NOW, &gone), 0);
	assert_true(bench_count(bench_db(), "SELECT count(*) FROM blocks") > 0);
	assert_int_equal(build_sweep(head(), bench_db(), BENCH_NOW + UINT64_C(16) * 86400 * CLOCK_US_PER_S, &gone), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM blocks"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM rollups"), 1);
	assert_false(gone);
	assert_int_equal(build_sweep(head(), bench_db(), BENCH_NOW + UINT64_C(403) * 86400 * CLOCK_US_PER_S, &gone), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM rollups"), 0);
	assert_true(gone);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 0);
}

static void
test_a_series_with_open_points_is_not_swept(void **state)
{
	bool gone;

	(void)state;
	put(NOW_MS - 1000, 1000, 1, 0);
	build();
	put(NOW_MS, 1000, 1, 0);
	assert_int_equal(build_sweep(head(), bench_db(), BENCH_NOW + UINT64_C(403) * 86400 * CLOCK_US_PER_S, &gone), 0);
	assert_false(gone);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 1);
}

/* --- killed at any moment ----------------------------------------------------------------------------------------- */
static uint64_t seed;

static uint64_t
roll_dice(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 20) % below;
}

/* Writes batches of ten and builds blocks, until it is killed; tells of each batch that was committed.  There is room
 * for 50,000 before now, whatever a quick disk and a late kill make of it. */
static void
write_until_killed(const char *path, int tell, unsigned batch)
{
	struct db *db;
	struct head *h;

	head_forget_all();
	if (db_open(&db, path) != 0)
		_exit(1);
	for (;; batch++) {
		put_in(db, NOW_MS - 500000000 + (int64_t)batch * 10000, 1000, 10, batch * 10, true);
		if (write(tell, &batch, sizeof(batch)) != sizeof(batch))
			_exit(1);
		if (batch % 7 == 0 && (head_open(&h, "acme", db) != 0 || build_site(h, 0, db) != 0))
			_exit(1);
	}
}

static void
test_a_kill_loses_and_doubles_nothing(void **state)
{
	const char *text = getenv("SEED");
	char path[PATH_MAX];
	unsigned next = 0;

	(void)state;
	seed = text ? strtoull(text, NULL, 10) : 4711;
	print_message("SEED=%ju\n", (uintmax_t)seed);
	(void)bench_db(); /* the tables */
	(void)snprintf(path, sizeof(path), "%s/customers/acme.db", bench.scratch.path);
	for (int turn = 0; turn < 25; turn++) {
		unsigned told = next, batch;
		int tell[2], status;
		pid_t pid;

		assert_int_equal(pipe(tell), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)close(tell[0]);
			write_until_killed(path, tell[1], next);
		}
		(void)close(tell[1]);
		for (uint64_t n = 1 + roll_dice(12); n > 0 && read(tell[0], &batch, sizeof(batch)) == sizeof(batch); n--)
			told = batch + 1;
		(void)usleep((useconds_t)roll_dice(3000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		while (read(tell[0], &batch, sizeof(batch)) == sizeof(batch))
			told = batch + 1;
		(void)close(tell[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		/* All that was told, perhaps one that was not; each point once, in order. */
		head_forget_all();
		next = (unsigned)(load(0, NOW_MS, 0) / 10);
		assert_in_range(next, told, told + 1);
		assert_int_equal(samples.n, next * 10);
		for (size_t i = 0; i < samples.n; i++)
			assert_true(samples.items[i].last == (double)i);
	}
	assert_true(next > 50);
	assert_true(bench_count(bench_db(), "SELECT count(*) FROM blocks") > 0);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT (SELECT coalesce(sum(points), 0) FROM blocks) + (SELECT coalesce(sum(points), 0) FROM point_batches)"),
		next * 10);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_points_become_blocks_once_it_is_time),
		TEST(test_what_comes_late_or_twice_takes_its_place),
		TEST(test_a_hub_that_begins_anew_knows_what_is_open),
		TEST(test_a_damaged_row_is_a_fault_and_no_data),
		TEST(test_old_points_are_rolled_up_and_swept),
		TEST(test_a_series_with_open_points_is_not_swept),
		TEST(test_a_kill_loses_and_doubles_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
