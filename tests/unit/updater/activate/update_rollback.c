/* Back to the release before: over data that it reads, or that a snapshot holds; else it is refused, and says the remedy. */
#include "tests/unit/updater/activate/bench.h"

#include "appliance/bus/frame.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/accepted.h"
#include "remote/operate/operate_wire.h"
#include "updater/activate/rights.h"
#include "updater/activate/update_verbs.h"

#define ID   "0123456789abcdef0123456789abcdef"
#define HOOKS "hooks: {snapshot: {argv: [/bin/run, \"{snapshot}\"]}, restore: {argv: [/bin/run, \"{snapshot}\"]}}\n"
#define OLD_DATA "data: {format: one}\n"
#define NEW_DATA "data: {format: two, accepts: [one]}\n"

struct ground {
	struct bench_release one, two;
};

static void
ground_done(struct ground *g)
{
	bench_release_done(&g->one);
	bench_release_done(&g->two);
}

/* As at its install. */
static void
accept_powers(struct bench *b, const char *hex)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(accepted_freep) struct accepted *a = NULL;

	assert_int_equal(update_release_definition(b->u, hex, &d), 0);
	assert_int_equal(accepted_load(&a, monitor_dir(b->t->m)), 0);
	assert_int_equal(rights_accept_all(a, d), 0);
	assert_int_equal(accepted_save(a, monitor_dir(b->t->m)), 0);
}

/* Release 8 runs, and took 7's place in a change that began then; snapshot: is one there? */
static void
lay(struct bench *b, struct ground *g, const char *old, const char *new, bool snapshot)
{
	struct change c = { .n = 1, .items = { { .service = "redis", .step = CHANGE_GOOD } },
		.started_us = UINT64_C(1700000000000000) };
	char path[512];
	SCOPED(scope_close) int fd = -1;

	bench_release_with(b, &g->one, "redis", "7", "redis", old);
	bench_release_with(b, &g->two, "redis", "8", "redis", new);
	bench_store(b, &g->one);
	bench_store(b, &g->two);
	bench_active(b, g->two.hex, 2);
	accept_powers(b, g->one.hex);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", g->one.hex);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", g->two.hex);
	(void)snprintf(c.items[0].snapshot, sizeof(c.items[0].snapshot), ID);
	json_array_clear(b->u->history);
	assert_int_equal(update_remember(b->u, &c, &c.items[0]), 0);
	assert_int_equal(update_save(b->u), 0);
	(void)snprintf(path, sizeof(path), "%s/services/redis/data/.snapshot", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&fd, -1, path, 0755), 0);
	assert_int_equal(fs_remove_tree(fd, ID), 0);
	if (snapshot)
		assert_int_equal(mkdirat(fd, ID, 0700), 0);
}

static const struct {
	const char *name, *old, *new;
	bool snapshot, restore;
	int r;
	const char *text, *data; /* of the refusal; of what --show says */
	bool way_back;
} rows[] = {
	{ "both read it", OLD_DATA HOOKS, OLD_DATA, true, false, 0, "", "same", true },
	{ "both read it, and nothing is restored", OLD_DATA HOOKS, OLD_DATA, true, true, REASON_CONFLICT,
		"leave --restore-data out", "same", true },
	{ "what the old one makes of it is lost to the new one", "data: {format: one, accepts: [two]}\n", "data: {format: two}\n",
		true, false, 0, "", "one-way", true },
	{ "a snapshot is there, and nobody said the word", OLD_DATA HOOKS, NEW_DATA, true, false, REASON_CONFLICT,
		"its data of 2023-11-14T22:13:20.000Z can be restored, all that was written since is lost then: "
		"mainstay update rollback redis --restore-data",
		"restored", false },
	{ "the snapshot is gone", OLD_DATA HOOKS, NEW_DATA, false, true, REASON_CONFLICT, "no snapshot is kept", "not-readable",
		true },
	{ "nothing restores it", OLD_DATA "hooks: {snapshot: {argv: [/bin/run, \"{snapshot}\"]}}\n", NEW_DATA, true, true,
		REASON_CONFLICT, "no snapshot is kept that it could restore: keep release", "not-readable", true },
	{ "on a person's word", OLD_DATA HOOKS, NEW_DATA, true, true, 0, "", "restored", false },
	{ "with a way forward again", OLD_DATA HOOKS, NEW_DATA HOOKS, true, true, 0, "", "restored", true },
};

static json_t *
params(bool restore, bool show)
{
	json_t *p = json_pack("{s:s}", "service", "redis");

	if (restore)
		(void)json_object_set_new(p, "restore", json_string("yes"));
	if (show)
		(void)json_object_set_new(p, "show", json_string("yes"));
	return p;
}

/* What --show says, and that it changes nothing. */
static void
see(struct bench *b, size_t i)
{
	SCOPED(scope_free) char *before = bench_state(b);
	SCOPED(scope_free) char *after = NULL;
	SCOPED_JSON *a = NULL;

	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.rollback", params(false, true), NULL, 0, &a), 0);
	if (strcmp(json_text(a, "data"), rows[i].data) != 0 ||
		json_is_true(json_object_get(a, "way_back")) != rows[i].way_back)
		fail_msg("%s: %s", rows[i].name, json_text(a, "data"));
	assert_string_equal(json_text(a, "lost_since"),
		strcmp(rows[i].data, "restored") == 0 ? "2023-11-14T22:13:20.000Z" : "");
	assert_string_equal(json_text(a, "version"), "7");
	after = bench_state(b);
	assert_string_equal(before, after);
}

static void
back_goes_only_what_the_data_allows(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(ground_done) struct ground g = { 0 };
		struct site_answer a = { 0 };

		lay(b, &g, rows[i].old, rows[i].new, rows[i].snapshot);
		see(b, i);
		if (rows[i].r) {
			bench_refused(b, bench_control(b, "update.rollback", params(rows[i].restore, false)),
				(enum reason)rows[i].r);
			if (!strstr(refuse_last()->text, rows[i].text))
				fail_msg("%s: %s", rows[i].name, refuse_last()->text);
			continue;
		}
		bench_begin_with(b, "update.rollback", params(rows[i].restore, false), &a);
		for (unsigned n = 0; n < 5 && !b->u->run; n++)
			bench_turn(b);
		if (!b->u->run)
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
		assert_string_equal(change_run_state(b->u->run)->items[0].restore, rows[i].restore ? ID : "");
		assert_int_equal(change_run_state(b->u->run)->items[0].restores, strstr(rows[i].new, "restore") != NULL);
		b->u->run = change_run_cancel(b->u->run);
		assert_int_equal(change_clear(b->u->journal_fd), 0);
		monitor_answer(b->u->waiting[0].call, NULL);
		update_waiting_clear(&b->u->waiting[0]);
	}
}

/* --- its step ------------------------------------------------------------------------------------------------------ */
struct hook_job {
	struct bench *b;
	struct frame frame;
	int fd; /* -1: none was asked for yet */
};

/* The worker's job, as soon as it is asked for. */
static void
take_job(void *arg)
{
	struct hook_job *job = arg;
	struct spawn_fake *f = job->b->t->spawner;

	for (size_t i = 0; i < f->n_calls && job->fd < 0; i++) {
		if (f->calls[i].fd < 0 || strcmp(f->calls[i].what, "operate") != 0)
			continue;
		job->fd = f->calls[i].fd;
		f->calls[i].fd = -1;
		assert_int_equal(frame_recv_wait(job->fd, &job->frame, 1000), 0);
	}
}

static void
answer(int take_fd, unsigned outcome)
{
	static const unsigned zeros[] = { OPERATE_TAG_CPU_MS, OPERATE_TAG_MAX_RSS, OPERATE_TAG_WALL_MS, OPERATE_TAG_TRUNCATED };
	SCOPED(frame_out_done) struct frame_out out = { 0 };

	frame_begin(&out, OPERATE_RESULT, 1);
	frame_put_u64(&out, OPERATE_TAG_OUTCOME, outcome);
	for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
		frame_put_u64(&out, (uint16_t)zeros[i], 0);
	assert_int_equal(frame_send_wait(take_fd, &out, 1000), 0);
	(void)close(take_fd);
}

/* The hook is the old release's, on the snapshot that was named, while nothing runs; then the lock names the old one. */
static void
the_old_release_brings_its_data_back(void **state)
{
	static const struct {
		unsigned outcome;
		bool new_runs;
	} ends[] = { { OPERATE_OK, false }, { OPERATE_FAILED, true } };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		SCOPED(ground_done) struct ground g = { 0 };
		struct hook_job job = { .b = b, .fd = -1 };
		struct change c = { .id = "00",
			.n = 1,
			.kind = CHANGE_ROLLBACK,
			.items = { { .service = "redis", .to_version = "7", .from_version = "8", .counter = 1, .from_counter = 2,
				.step = CHANGE_DATA, .one_way = true, .restore = ID } },
			.started_us = 1 };
		struct lock lock;
		char tree[80];

		lay(b, &g, OLD_DATA HOOKS, NEW_DATA, true);
		(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", g.two.hex);
		(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", g.one.hex);
		assert_int_equal(change_save(&c, b->u->journal_fd), 0);
		b->turned = take_job;
		b->turned_arg = &job;
		bench_restart(b);
		b->turned = NULL;
		assert_true(job.fd >= 0);
		assert_memory_equal(frame_find(&job.frame, OPERATE_TAG_ARG, 1)->data, "/data/.snapshot/" ID, strlen("/data/.snapshot/" ID));
		(void)snprintf(tree, sizeof(tree), "/store/%s", g.one.hex);
		assert_non_null(strstr(frame_text(&job.frame, OPERATE_TAG_TREE, OPERATE_PATH_MAX), tree));
		answer(job.fd, ends[i].outcome);
		frame_done(&job.frame);
		for (unsigned n = 0; n < 200 && b->u->run && change_run_state(b->u->run)->items[0].step <= CHANGE_SWITCH; n++)
			bench_turn(b);
		assert_int_equal(lock_read(&lock, &b->t->paths), 0);
		assert_string_equal(lock_find(&lock, "redis")->release, ends[i].new_runs ? g.two.hex : g.one.hex);
		if (!ends[i].new_runs) {
			b->u->run = change_run_cancel(b->u->run);
			assert_int_equal(change_clear(b->u->journal_fd), 0);
			continue;
		}
		bench_settle(b);
		assert_null(b->u->run);
		assert_non_null(strstr(b->u->text, "replaced by the snapshot's"));
		assert_string_equal(b->u->reason, "conflict");
	}
}

/* Two later changes that went back made snapshots, too: the one that leads back from what runs stays. */
static void
the_snapshot_that_leads_back_is_kept(void **state)
{
	static const char *const names[] = { ID, "11111111111111111111111111111111", "22222222222222222222222222222222",
		"33333333333333333333333333333333" };
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { 0 };
	SCOPED(scope_close) int fd = -1;
	char path[512];

	lay(b, &g, OLD_DATA HOOKS, NEW_DATA, true);
	(void)snprintf(path, sizeof(path), "%s/services/redis/data/.snapshot", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&fd, -1, path, 0755), 0);
	for (size_t i = 1; i < ARRAY_LEN(names); i++) {
		struct change c = { .n = 1, .items = { { .service = "redis", .step = CHANGE_ROLLED_BACK } }, .started_us = 1 };

		(void)snprintf(c.items[0].snapshot, sizeof(c.items[0].snapshot), "%s", names[i]);
		assert_int_equal(update_remember(b->u, &c, &c.items[0]), 0);
		assert_int_equal(mkdirat(fd, names[i], 0700), 0);
	}
	update_collect_snapshots(b->u, "redis");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(faccessat(fd, names[i], F_OK, 0), i == 1 ? -1 : 0);
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(back_goes_only_what_the_data_allows),
		BENCH_TEST(the_old_release_brings_its_data_back),
		BENCH_TEST(the_snapshot_that_leads_back_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
