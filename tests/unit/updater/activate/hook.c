/* Hooks of a release: the job they are given, how they end, and where snapshots lie. */
#include "tests/unit/updater/activate/bench.h"

#include "appliance/bus/frame.h"
#include "appliance/monitor/monitor.h"
#include "remote/operate/operate_wire.h"
#include "updater/activate/change_check.h"
#include "updater/activate/hook.h"

#define ID "0123456789abcdef0123456789abcdef"
#define HOOKS                                                                                      \
	"hooks:\n"                                                                                 \
	"  snapshot: {argv: [/bin/run, \"{snapshot}\", \"{secret.word}\"], timeout: 7s, output: 4kb,\n" \
	"    secrets: [word]}\n"                                                                  \
	"  check: {argv: [/bin/run, check]}\n"                                                     \
	"  restore: {argv: [/bin/run, \"{snapshot}\"]}\n"                                          \
	"secrets:\n"                                                                              \
	"  word: {bytes: 16, template: \"word={value}\", help: of its clients}\n"

struct ended {
	bool came;
	int r;
	char output[65];
};

static void
on_end(int r, const char *output, void *arg)
{
	struct ended *e = arg;

	*e = (struct ended){ .came = true, .r = r };
	(void)snprintf(e->output, sizeof(e->output), "%s", output);
}

/* The job that a worker was given, and its socket. */
static int
take_job(struct bench *b, struct frame *ret)
{
	struct spawn_fake *f = b->t->spawner;

	for (unsigned turn = 0; turn < 20; turn++) {
		for (size_t i = 0; i < f->n_calls; i++) {
			int fd = f->calls[i].fd;

			if (fd < 0 || strcmp(f->calls[i].what, "operate") != 0)
				continue;
			f->calls[i].fd = -1;
			assert_int_equal(frame_recv_wait(fd, ret, 1000), 0);
			return fd;
		}
		bench_turn(b);
	}
	fail_msg("no worker was asked for");
	return -1;
}

static void
say(int fd, enum operate_stream stream, const char *text, size_t len)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };

	frame_begin(&out, OPERATE_OUTPUT, 1);
	frame_put_u64(&out, OPERATE_TAG_STREAM, stream);
	frame_put_bytes(&out, OPERATE_TAG_BYTES, text, len);
	assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
}

static void
answer(int take_fd, enum operate_outcome outcome, uint64_t status, const char *said)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };

	/* A part on each output: all of the first one counts before the second. */
	say(take_fd, OPERATE_STDERR, said + 2, strlen(said + 2));
	say(take_fd, OPERATE_STDOUT, said, 2);
	frame_begin(&out, OPERATE_RESULT, 1);
	frame_put_u64(&out, OPERATE_TAG_OUTCOME, outcome);
	frame_put_u64(&out, OPERATE_TAG_STATUS, status);
	frame_put_u64(&out, OPERATE_TAG_CPU_MS, 1);
	frame_put_u64(&out, OPERATE_TAG_MAX_RSS, 1);
	frame_put_u64(&out, OPERATE_TAG_WALL_MS, 1);
	frame_put_u64(&out, OPERATE_TAG_TRUNCATED, 0);
	assert_int_equal(frame_send_wait(take_fd, &out, 1000), 0);
	(void)close(take_fd);
}

static void
wait_end(struct bench *b, const struct ended *e)
{
	for (unsigned i = 0; i < 100 && !e->came; i++)
		bench_turn(b);
	assert_true(e->came);
}

struct ground {
	struct bench_release r;
	struct definition *d;
	int data;
};

static void
ground_done(struct ground *g)
{
	bench_release_done(&g->r);
	definition_free(g->d);
	scope_close(&g->data);
}

/* A release with all hooks, and its service's data folder. */
static void
lay(struct bench *b, struct ground *g)
{
	char path[512];

	bench_release_with(b, &g->r, "redis", "7", "redis", HOOKS);
	bench_store(b, &g->r);
	bench_active(b, g->r.hex, 1);
	assert_int_equal(change_definition(b->t->m, g->r.hex, &g->d), 0);
	(void)snprintf(path, sizeof(path), "%s/services/redis/data", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&g->data, -1, path, 0755), 0);
}

static const struct {
	const char *name;
	enum definition_hooks which;
	const char *snapshot;
	const char *argv1;
	uint64_t declared;
} jobs[] = {
	{ "a snapshot writes data and reads the rest", DEFINITION_HOOK_SNAPSHOT, ID, "/data/.snapshot/" ID,
		OPERATE_MAY_READ | OPERATE_MAY_DATA },
	{ "a check only reads", DEFINITION_HOOK_CHECK, "", "check", OPERATE_MAY_READ },
	{ "a restore finds what was made", DEFINITION_HOOK_RESTORE, ID, "/data/.snapshot/" ID,
		OPERATE_MAY_READ | OPERATE_MAY_DATA },
};

/* The one that it names, by descriptor; and none where it names none. */
static void
see_secrets(struct bench *b, const struct frame *job, bool given)
{
	SCOPED(buf_done) struct buf value = BUF_MAX(4096);
	uint64_t from = 0, len = 0;
	char path[512], file[256];

	assert_int_equal(job->n_fds, given ? 1 : 0);
	if (!given) {
		assert_null(frame_find(job, OPERATE_TAG_SECRET, 0));
		return;
	}
	assert_string_equal(frame_text(job, OPERATE_TAG_SECRET, OPERATE_NAME_MAX), "word");
	assert_string_equal((const char *)frame_find(job, OPERATE_TAG_ARG, 2)->data, "/run/secrets/word");
	assert_true(frame_u64(job, OPERATE_TAG_SECRET_FROM, &from) && frame_u64(job, OPERATE_TAG_SECRET_LEN, &len));
	(void)snprintf(path, sizeof(path), "%s/services/redis/secrets/word", b->t->paths.lib);
	assert_int_equal(fs_read(AT_FDCWD, path, value.max, &value), 0);
	file[pread(job->fds[0], file, sizeof(file) - 1, 0)] = '\0';
	assert_int_equal(len, value.len);
	assert_int_equal(from, 5);
	assert_memory_equal(file, "word=", 5);
	assert_memory_equal(file + 5, buf_text(&value), value.len);
}

static void
a_hook_has_the_rights_of_its_kind(void **state)
{
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { .data = -1 };
	uint8_t digest[32];
	char hex[65];

	lay(b, &g);
	sha256_of(digest, "done", 4);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		SCOPED(frame_done) struct frame job = { 0 };
		struct hook *hook = NULL;
		struct ended e = { 0 };
		uint64_t declared, profile, network;
		int fd;

		assert_int_equal(hook_start(&hook, b->t->m, g.d, g.r.hex, jobs[i].which, jobs[i].snapshot, on_end, &e), 0);
		fd = take_job(b, &job);
		assert_int_equal(job.type, OPERATE_JOB);
		assert_true(frame_u64(&job, OPERATE_TAG_DECLARED, &declared));
		assert_true(frame_u64(&job, OPERATE_TAG_PROFILE, &profile));
		network = declared & OPERATE_MAY_NETWORK;
		if (declared != jobs[i].declared || profile != OPERATE_DESTROY || network)
			fail_msg("%s: %llu", jobs[i].name, (unsigned long long)declared);
		assert_memory_equal(frame_find(&job, OPERATE_TAG_ARG, 1)->data, jobs[i].argv1, strlen(jobs[i].argv1));
		see_secrets(b, &job, jobs[i].which == DEFINITION_HOOK_SNAPSHOT);
		answer(fd, OPERATE_OK, 0, "done");
		wait_end(b, &e);
		assert_int_equal(e.r, 0);
		assert_null(hook);
		assert_string_equal(e.output, hex_encode(hex, digest, sizeof(digest)));
	}
}

static const struct {
	const char *name;
	enum operate_outcome outcome;
	uint64_t status;
	const char *text;
} ends[] = {
	{ "another status", OPERATE_FAILED, 3, "ended with status 3: no such table" },
	{ "too long", OPERATE_TIMEOUT, 0, "took too long: no such table" },
};

static void
a_hook_that_fails_says_why(void **state)
{
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { .data = -1 };

	lay(b, &g);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		SCOPED(frame_done) struct frame job = { 0 };
		uint64_t before = refuse_count(REASON_CONFLICT);
		struct hook *hook = NULL;
		struct ended e = { 0 };
		int fd;

		assert_int_equal(
			hook_start(&hook, b->t->m, g.d, g.r.hex, DEFINITION_HOOK_CHECK, "", on_end, &e), 0);
		fd = take_job(b, &job);
		answer(fd, ends[i].outcome, ends[i].status, "no such table");
		wait_end(b, &e);
		assert_int_equal(e.r, REASON_CONFLICT);
		assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
		if (!strstr(refuse_last()->text, ends[i].text))
			fail_msg("%s: %s", ends[i].name, refuse_last()->text);
	}
}

/* More than the hook may write: the worker lies, and is killed. */
static void
a_hook_that_floods_has_failed(void **state)
{
	static const char part[4096];
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { .data = -1 };
	SCOPED(frame_done) struct frame job = { 0 };
	struct hook *hook = NULL;
	struct ended e = { 0 };
	int fd;

	lay(b, &g);
	assert_int_equal(hook_start(&hook, b->t->m, g.d, g.r.hex, DEFINITION_HOOK_SNAPSHOT, ID, on_end, &e), 0);
	fd = take_job(b, &job);
	say(fd, OPERATE_STDOUT, part, sizeof(part)); /* all that it may */
	say(fd, OPERATE_STDERR, part, 1);
	wait_end(b, &e);
	(void)close(fd);
	assert_true(e.r < 0);
	assert_string_equal(e.output, "");
}

static void
what_is_no_snapshot_is_not_restored(void **state)
{
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { .data = -1 };
	struct hook *hook = NULL;

	lay(b, &g);
	bench_refused(b, hook_start(&hook, b->t->m, g.d, g.r.hex, DEFINITION_HOOK_RESTORE, ID, on_end, NULL),
		REASON_NOT_FOUND);
	assert_null(hook);
}

/* The service may write there: a link of its own leads root nowhere. */
static void
a_link_in_place_of_snapshots_is_not_followed(void **state)
{
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { .data = -1 };
	struct hook *hook = NULL;
	struct stat st;

	lay(b, &g);
	assert_int_equal(symlinkat(b->t->paths.lib, g.data, ".snapshot"), 0);
	bench_refused(b, hook_start(&hook, b->t->m, g.d, g.r.hex, DEFINITION_HOOK_SNAPSHOT, ID, on_end, NULL),
		REASON_UNSAFE_TREE);
	hook_forget_snapshots(b->t->m, "redis", NULL, 0);
	assert_int_equal(fstatat(g.data, "../../../store", &st, 0), 0);
}

static void
two_snapshots_are_kept(void **state)
{
	static const char *const names[] = { "11111111111111111111111111111111", "22222222222222222222222222222222",
		"33333333333333333333333333333333", "notes" };
	static const char *const keep[] = { "22222222222222222222222222222222", "33333333333333333333333333333333" };
	struct bench *b = *state;
	SCOPED(ground_done) struct ground g = { .data = -1 };
	char path[64];

	lay(b, &g);
	assert_int_equal(mkdirat(g.data, ".snapshot", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), ".snapshot/%s", names[i]);
		assert_int_equal(mkdirat(g.data, path, 0700), 0);
	}
	hook_forget_snapshots(b->t->m, "redis", keep, ARRAY_LEN(keep));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct stat st;

		(void)snprintf(path, sizeof(path), ".snapshot/%s", names[i]);
		assert_int_equal(fstatat(g.data, path, &st, 0), i == 0 ? -1 : 0);
	}
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(a_hook_has_the_rights_of_its_kind),
		BENCH_TEST(a_hook_that_fails_says_why),
		BENCH_TEST(a_hook_that_floods_has_failed),
		BENCH_TEST(what_is_no_snapshot_is_not_restored),
		BENCH_TEST(a_link_in_place_of_snapshots_is_not_followed),
		BENCH_TEST(two_snapshots_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
