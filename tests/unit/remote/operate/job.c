/* Jobs, answers and profiles as words and frames: between a monitor and a worker of which either may lie. */
#include <sched.h>
#include <signal.h>

#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "remote/operate/profile.h"
#include "tests/unit/remote/operate/bench.h"

/* --- profiles as words ------------------------------------------------------------------------ */
static bool
has(const struct sandbox *s, const char *a, const char *b, const char *c)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->args[i], a) &&
			(!b || (i + 1 < s->n && !strcmp(s->args[i + 1], b))) &&
			(!c || (i + 2 < s->n && !strcmp(s->args[i + 2], c))))
			return true;
	return false;
}

static const struct {
	const char *says;
	enum operate_profile profile;
	unsigned declared;
	bool data, conf, network;
} profiles[] = {
	{ "observe shows neither", OPERATE_OBSERVE, 0, false, false, false },
	{ "observe declares nothing", OPERATE_OBSERVE, 7, false, false, false },
	{ "change writes both", OPERATE_CHANGE, 0, true, true, false },
	{ "change has no network to declare", OPERATE_CHANGE, 7, true, true, false },
	{ "destroy has nothing by itself", OPERATE_DESTROY, 0, false, false, false },
	{ "destroy declares data", OPERATE_DESTROY, OPERATE_MAY_DATA, true, false, false },
	{ "destroy declares the network", OPERATE_DESTROY, OPERATE_MAY_NETWORK, false, false,
		true },
	{ "destroy declares all", OPERATE_DESTROY, 7, true, true, true },
};

static void
test_profiles(void **state)
{
	struct bench *b = *state;

	set_script(b, "true");
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		SCOPED(sandbox_done) struct sandbox s = { 0 };

		b->job.profile = profiles[i].profile;
		b->job.declared = profiles[i].declared;
		assert_int_equal(profile_build(&s, &b->job), 0);
		if (has(&s, "--bind", b->job.data, "/data") != profiles[i].data ||
			has(&s, "--bind", b->job.conf, "/conf") != profiles[i].conf ||
			has(&s, "--unshare-net", NULL, NULL) == profiles[i].network)
			fail_msg("%s", profiles[i].says);
		assert_true(has(&s, "--unshare-user", NULL, NULL) &&
			has(&s, "--unshare-pid", NULL, NULL) &&
			has(&s, "--unshare-ipc", NULL, NULL) &&
			has(&s, "--unshare-uts", NULL, NULL));
		assert_true(has(&s, "--ro-bind", b->job.run, "/run/service"));
		assert_true(has(&s, "--remount-ro", "/", "--"));
		assert_false(has(&s, "--cap-add", NULL, NULL));
	}
}

/* --- jobs over the socket --------------------------------------------------------------------- */
/* The monitor's side, which waits on its loop there. */
static int
send_job(struct bench *b)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	int r = operate_job_put(&out, &b->job);

	return r ?: frame_send_wait(b->socks[0], &out, 1000);
}

static int
receive_answer(struct bench *b, struct operate_result *ret)
{
	SCOPED(frame_done) struct frame f = { 0 };

	assert_int_equal(frame_recv_wait(b->socks[0], &f, 1000), 0);
	return operate_answer_take(&f, ret);
}

static void
test_job(void **state)
{
	struct bench *b = *state;
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	struct operate_result result = { OPERATE_FAILED, -1, 9, 1, 2, 3, true, OPERATE_LIMIT_CPU }, back;
	char text[64];

	set_script(b, "echo a b");
	b->job.memory = UINT64_C(1) << 40;
	b->job.declared = OPERATE_MAY_CONF;
	give_secret(b, "pass: " CANARY, 6, sizeof(CANARY) - 1);
	assert_int_equal(send_job(b), 0);
	assert_int_equal(operate_job_receive(b->socks[1], &job), 0);
	close(b->job.secrets[0].fd);
	assert_int_equal(job.n_secrets, 1);
	assert_string_equal(job.secrets[0].name, "word");
	assert_int_equal(job.secrets[0].from, 6);
	assert_int_equal(job.secrets[0].len, sizeof(CANARY) - 1);
	assert_int_equal(pread(job.secrets[0].fd, text, sizeof(text), 0), 6 + sizeof(CANARY) - 1);
	assert_string_equal(job.argv[2], "echo a b");
	assert_null(job.argv[3]);
	assert_string_equal(job.conf, b->job.conf);
	assert_int_equal(job.memory, UINT64_C(1) << 40);
	assert_int_equal(job.declared, OPERATE_MAY_CONF);
	assert_int_equal(operate_result_send(b->socks[1], &result), 0);
	assert_int_equal(receive_answer(b, &back), 0);
	assert_int_equal(back.outcome, OPERATE_FAILED);
	assert_int_equal(back.exit_status, -1);
	assert_int_equal(back.signal, 9);
	assert_int_equal(back.max_rss, 2);
	assert_true(back.truncated);
	assert_int_equal(back.limits, OPERATE_LIMIT_CPU);
	(void)REFUSE(REASON_NO_SANDBOX, "x", "nothing to stand on");
	assert_int_equal(operate_refusal_send(b->socks[1], REASON_NO_SANDBOX), 0);
	assert_int_equal(receive_answer(b, &back), REASON_NO_SANDBOX);
	assert_string_equal(refuse_last()->text, "nothing to stand on");
}

static void
test_bad_jobs(void **state)
{
	struct bench *b = *state;
	const struct operate_job good = b->job;
	char *long_arg = calloc(1, OPERATE_ARG_MAX + 2);
	enum { PROFILE, TIMEOUT, LONG_TIMEOUT, OUTPUT, FOLDER, ROWS };

	for (int i = 0; i < ROWS; i++) {
		SCOPED(operate_job_done) struct operate_job job = { 0 };

		b->job = good;
		set_script(b, "true");
		if (i == PROFILE)
			b->job.profile = 4;
		if (i == TIMEOUT)
			b->job.timeout_ms = 0;
		if (i == LONG_TIMEOUT)
			b->job.timeout_ms = OPERATE_TIMEOUT_MAX_MS + 1;
		if (i == OUTPUT)
			b->job.output = OPERATE_OUTPUT_MAX + 1;
		if (i == FOLDER)
			b->job.tree[0] = 't';
		assert_int_equal(send_job(b), 0);
		assert_int_equal(operate_job_receive(b->socks[1], &job),
			REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_null(job.argv[0]);
	}
	b->job = good;
	memset(long_arg, 'x', OPERATE_ARG_MAX + 1);
	set_script(b, long_arg);
	assert_int_equal(send_job(b), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	free(long_arg);
}

/* A job, but for what is wrong with it. */
struct raw_secret {
	const char *says, *name;
	uint64_t from, len;
	int n_from, n_len, n_files;
};

static void
send_raw_job(const struct bench *b, uint16_t type, const char *arg, size_t len, int n_files, const struct raw_secret *s)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, type, 1);
	frame_put_bytes(&out, OPERATE_TAG_ARG, arg, len);
	frame_put_u64(&out, OPERATE_TAG_PROFILE, OPERATE_OBSERVE);
	frame_put_text(&out, OPERATE_TAG_TREE, "/");
	frame_put_text(&out, OPERATE_TAG_RUN, "/run");
	frame_put_u64(&out, OPERATE_TAG_UID, 1);
	frame_put_u64(&out, OPERATE_TAG_TIMEOUT, 1);
	frame_put_u64(&out, OPERATE_TAG_MEMORY, 0);
	frame_put_u64(&out, OPERATE_TAG_OUTPUT, 0);
	frame_put_u64(&out, OPERATE_TAG_PROCESSES, 0);
	if (s && s->name)
		frame_put_bytes(&out, OPERATE_TAG_SECRET, s->name, strlen(s->name));
	for (int i = 0; s && i < s->n_from; i++)
		frame_put_u64(&out, OPERATE_TAG_SECRET_FROM, s->from);
	for (int i = 0; s && i < s->n_len; i++)
		frame_put_u64(&out, OPERATE_TAG_SECRET_LEN, s->len);
	for (int i = 0; i < n_files; i++)
		frame_put_fd(&out, b->socks[1]);
	assert_int_equal(frame_send_wait(b->socks[0], &out, 1000), 0);
}

static void
test_secrets_that_no_job_has(void **state)
{
	static const struct raw_secret rows[] = {
		{ "a name that leads elsewhere", "../word", 0, 1, 1, 1, 1 },
		{ "a name of nothing", "", 0, 1, 1, 1, 1 },
		{ "no place", "word", 0, 1, 0, 1, 1 },
		{ "no length", "word", 0, 1, 1, 0, 1 },
		{ "a length of nothing", "word", 0, 0, 1, 1, 1 },
		{ "more than a secret has", "word", 0, OPERATE_SECRET_MAX + 1, 1, 1, 1 },
		{ "a place behind any file", "word", OPERATE_SECRET_FILE_MAX + 1, 1, 1, 1, 1 },
		{ "no descriptor", "word", 0, 1, 1, 1, 0 },
		{ "a descriptor too many", "word", 0, 1, 1, 1, 2 },
		{ "a place too many", "word", 0, 1, 2, 1, 1 },
		{ "a length too many", "word", 0, 1, 1, 2, 1 },
		{ "a descriptor for none", NULL, 0, 0, 0, 0, 1 },
	};
	static const struct raw_secret good = { "one as it should be", "word", 0, 1, 1, 1, 1 };
	struct bench *b = *state;

	for (size_t i = 0; i <= ARRAY_LEN(rows); i++) {
		const struct raw_secret *s = i < ARRAY_LEN(rows) ? &rows[i] : &good;
		SCOPED(operate_job_done) struct operate_job job = { 0 };
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r, want = s == &good ? 0 : REASON_MALFORMED;

		send_raw_job(b, OPERATE_JOB, "a", 1, s->n_files, s);
		r = operate_job_receive(b->socks[1], &job);
		if (r != want || refuse_count(REASON_MALFORMED) != before + (want != 0) ||
			(job.argv[0] == NULL) != (want != 0))
			fail_msg("%s: %d", s->says, r);
	}
}

static void
test_hostile_monitor(void **state)
{
	static const struct {
		const char *says;
		uint16_t type;
		const char *arg;
		size_t len;
		int n_files;
		int reason;
	} rows[] = {
		{ "an argument that holds a NUL", OPERATE_JOB, "a\0b", 3, 0, REASON_MALFORMED },
		{ "a file for nothing", OPERATE_JOB, "a", 1, 1, REASON_MALFORMED },
		{ "a result in a job's place", OPERATE_RESULT, "a", 1, 0, REASON_MALFORMED },
		{ "a job as it should be", OPERATE_JOB, "a", 1, 0, 0 },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(operate_job_done) struct operate_job job = { 0 };
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r;

		send_raw_job(b, rows[i].type, rows[i].arg, rows[i].len, rows[i].n_files, NULL);
		r = operate_job_receive(b->socks[1], &job);
		if (r != rows[i].reason || refuse_count(REASON_MALFORMED) != before + (r != 0) ||
			(job.argv[0] == NULL) != (r != 0))
			fail_msg("%s: %d", rows[i].says, r);
	}
}

static void
test_a_command_line_too_long(void **state)
{
	struct bench *b = *state;
	char *arg = calloc(1, OPERATE_ARG_MAX + 1);
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	memset(arg, 'x', OPERATE_ARG_MAX);
	for (size_t i = 0; i < OPERATE_ARGS_MAX; i++)
		b->job.argv[i] = arg;
	assert_int_equal(send_job(b), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	free(arg);
}

static void
send_raw(int sock, uint16_t type, uint64_t outcome, uint64_t status)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, type, 1);
	frame_put_u64(&out, OPERATE_TAG_OUTCOME, outcome);
	frame_put_u64(&out, OPERATE_TAG_STATUS, status);
	frame_put_u64(&out, OPERATE_TAG_CPU_MS, 0);
	frame_put_u64(&out, OPERATE_TAG_MAX_RSS, 0);
	frame_put_u64(&out, OPERATE_TAG_WALL_MS, 0);
	frame_put_u64(&out, OPERATE_TAG_TRUNCATED, 0);
	assert_int_equal(frame_send_wait(sock, &out, 1000), 0);
}

static void
send_limits(int sock, uint64_t limits)
{
	const uint64_t tags[] = { OPERATE_TAG_CPU_MS, OPERATE_TAG_MAX_RSS, OPERATE_TAG_WALL_MS, OPERATE_TAG_TRUNCATED };
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, OPERATE_RESULT, 1);
	frame_put_u64(&out, OPERATE_TAG_OUTCOME, OPERATE_FAILED);
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		frame_put_u64(&out, (uint16_t)tags[i], 0);
	frame_put_u64(&out, OPERATE_TAG_LIMITS, limits);
	assert_int_equal(frame_send_wait(sock, &out, 1000), 0);
}

/* What would be a refusal, in a frame that is none. */
static void
send_posing(int sock)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, OPERATE_JOB, 1);
	frame_put_text(&out, OPERATE_TAG_REASON, "denied");
	assert_int_equal(frame_send_wait(sock, &out, 1000), 0);
}

static void
send_output_frame(int sock, uint64_t stream, size_t len)
{
	SCOPED(frame_out_done) struct frame_out out;
	static const uint8_t bytes[OPERATE_CHUNK_MAX + 1];

	frame_begin(&out, OPERATE_OUTPUT, 1);
	frame_put_u64(&out, OPERATE_TAG_STREAM, stream);
	frame_put_bytes(&out, OPERATE_TAG_BYTES, bytes, len);
	assert_int_equal(frame_send_wait(sock, &out, 1000), 0);
}

static void
test_output_that_is_none(void **state)
{
	static const struct {
		const char *says;
		uint64_t stream;
		size_t len;
		int r;
	} rows[] = {
		{ "of a stream before the first", 0, 1, REASON_MALFORMED },
		{ "of a third stream", 3, 1, REASON_MALFORMED },
		{ "of nothing", 1, 0, REASON_MALFORMED },
		{ "more than a frame carries", 1, OPERATE_CHUNK_MAX + 1, REASON_MALFORMED },
		{ "as it should be", 2, OPERATE_CHUNK_MAX, 0 },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(frame_done) struct frame f = { 0 };
		uint64_t before = refuse_count(REASON_MALFORMED);
		struct operate_output o;
		int r;

		send_output_frame(b->socks[0], rows[i].stream, rows[i].len);
		assert_int_equal(frame_recv_wait(b->socks[1], &f, 1000), 0);
		r = operate_output_take(&f, &o);
		if (r != rows[i].r || refuse_count(REASON_MALFORMED) != before + (r != 0) ||
			(r == 0 && (o.stream != OPERATE_STDERR || o.len != rows[i].len)))
			fail_msg("%s: %d", rows[i].says, r);
	}
}

static void
test_hostile_worker(void **state)
{
	struct bench *b = *state;
	struct operate_result r;

	send_posing(b->socks[1]);
	assert_int_equal(receive_answer(b, &r), REASON_MALFORMED);

	send_raw(b->socks[1], OPERATE_RESULT, 9, 0);
	assert_int_equal(receive_answer(b, &r), REASON_MALFORMED);
	send_raw(b->socks[1], OPERATE_RESULT, OPERATE_OK, 256);
	assert_int_equal(receive_answer(b, &r), REASON_MALFORMED);
	send_limits(b->socks[1], OPERATE_LIMITS_ALL);
	assert_int_equal(receive_answer(b, &r), 0);
	send_limits(b->socks[1], OPERATE_LIMITS_ALL + 1);
	assert_int_equal(receive_answer(b, &r), REASON_MALFORMED);
	send_raw(b->socks[1], OPERATE_JOB, OPERATE_OK, 0);
	assert_int_equal(receive_answer(b, &r), REASON_MALFORMED);
	send_raw(b->socks[1], OPERATE_REFUSED, OPERATE_OK, 0);
	assert_int_equal(receive_answer(b, &r), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_secrets_that_no_job_has, setup, teardown),
		cmocka_unit_test_setup_teardown(test_profiles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_job, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_jobs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_monitor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_command_line_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output_that_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_worker, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
