/* The monitor's side of the judge, and the shipped program at the other end. */
#include "appliance/monitor/judge.h"

#include "tests/fakes/refused.h"
#include "tests/unit/appliance/monitor/site.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define POLICY "v: 1\nrules: []\n"

struct verdict {
	unsigned n;
	int r;
	json_t *answer; /* owned */
};

static void
on_verdict(int r, const json_t *answer, void *arg)
{
	struct verdict *v = arg;

	v->n++;
	v->r = r;
	v->answer = answer ? json_deep_copy(answer) : NULL;
}

static int
judge(struct site_test *t, const char *text, size_t len)
{
	struct verdict v = { 0 };
	int r = monitor_judge(t->m, JUDGE_POLICY, "policy.yaml", text, len, on_verdict, &v);

	for (unsigned i = 0; r == 0 && v.n == 0 && i < 1000; i++)
		site_turn(t);
	assert_int_equal(v.n, r == 0);
	json_decref(v.answer);
	return r ?: v.r;
}

static void
the_queue_takes_so_much_and_no_more(void **state)
{
	struct site_test *t = *state;
	struct verdict all = { 0 };
	char *huge = calloc(1, JUDGE_INPUT_MAX + 1);

	/* At once: no worker is asked to refuse it. */
	assert_refused(monitor_judge(t->m, JUDGE_POLICY, "policy.yaml", huge, JUDGE_INPUT_MAX + 1, on_verdict, &all),
		REASON_TOO_LARGE, "of at most");
	assert_int_equal(all.n, 0);
	free(huge);
	for (unsigned i = 0; i < JUDGE_QUEUE_MAX; i++)
		assert_int_equal(monitor_judge(t->m, JUDGE_POLICY, "p", POLICY, strlen(POLICY),
					 on_verdict, &all),
			0);
	site_refused(t, judge(t, POLICY, strlen(POLICY)), REASON_BUSY);
	for (unsigned i = 0; all.n < JUDGE_QUEUE_MAX && i < 1000; i++) {
		json_decref(all.answer);
		all.answer = NULL;
		site_turn(t);
	}
	assert_int_equal(all.n, JUDGE_QUEUE_MAX);
	json_decref(all.answer);
	assert_int_equal(judge(t, POLICY, strlen(POLICY)), 0);
}

/* One that hangs is killed, and the jobs behind it go on. */
static void
a_judge_that_hangs_is_ended(void **state)
{
	struct site_test *t = *state;
	bool killed = false;

	t->judge_ms = 100;
	site_restart(t);
	site_settle(t);
	t->judge_hangs = true;
	site_refused(t, judge(t, POLICY, strlen(POLICY)), REASON_TOO_LARGE);
	for (size_t i = 0; i < t->spawner->n_calls; i++) {
		scope_close(&t->spawner->calls[i].fd);
		killed = killed ||
			(strcmp(t->spawner->calls[i].what, "kill") == 0 &&
				t->spawner->calls[i].signal == SIGKILL);
	}
	assert_true(killed);
	t->judge_hangs = false;
	assert_int_equal(judge(t, POLICY, strlen(POLICY)), 0);
}

static void
where_nobody_starts_judges_nothing_is_judged(void **state)
{
	struct site_test *t = *state;

	t->spawner->answer = REASON_NO_SANDBOX;
	t->judge_hangs = true; /* none was started */
	site_refused(t, judge(t, POLICY, strlen(POLICY)), REASON_NO_SANDBOX);
	scope_close(&t->spawner->calls[0].fd);
	t->spawner->answer = 0;
	t->judge_hangs = false;
	assert_int_equal(judge(t, POLICY, strlen(POLICY)), 0);
}

/* Somebody else's SIGKILL is no word about the document. */
static void
a_judge_that_is_killed_is_asked_twice_more(void **state)
{
	struct site_test *t = *state;

	t->judges = 0;
	t->judge_dies = 2;
	assert_int_equal(judge(t, POLICY, strlen(POLICY)), 0);
	assert_int_equal(t->judges, 3);
	t->judge_dies = 3;
	site_refused(t, judge(t, POLICY, strlen(POLICY)), REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "the judge died over it"));
	assert_int_equal(t->judges, 6);
}

/* A supervisor that was killed is there again soon; one that stays away is a refusal. */
static void
a_judge_waits_for_a_supervisor_that_went_away(void **state)
{
	static const struct {
		enum reason why;
		size_t asked; /* then it is back */
		int r;
	} rows[] = { { REASON_INTERRUPTED, 3, 0 }, { REASON_UNREACHABLE, 3, 0 }, { REASON_UNREACHABLE, SIZE_MAX, REASON_UNREACHABLE } };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct verdict v = { 0 };
		size_t done = t->spawner->n_calls = 0;

		t->spawner->answer = (int)rows[i].why;
		t->judge_hangs = true;
		assert_int_equal(monitor_judge(t->m, JUDGE_POLICY, "policy.yaml", POLICY, strlen(POLICY), on_verdict, &v), 0);
		for (unsigned k = 0; k < 1000 && v.n == 0; k++) {
			site_turn(t);
			for (; done < t->spawner->n_calls; done++)
				scope_close(&t->spawner->calls[done].fd);
			t->judge_hangs = done < rows[i].asked;
			t->spawner->answer = t->judge_hangs ? (int)rows[i].why : 0;
		}
		assert_int_equal(v.n, 1);
		assert_int_equal(v.r, rows[i].r);
		json_decref(v.answer);
	}
	t->spawner->answer = 0;
	t->judge_hangs = false;
}

/* The job as the worker takes it: what a judge that was taken over can do to the monitor. */
struct lie {
	const char *name;
	uint16_t type;
	bool has_reason;
	off_t size;
	const char *text;
	int r;
};

static void
play(struct site_test *t, const struct lie *lie)
{
	for (size_t i = 0; i < t->spawner->n_calls; i++) {
		SCOPED(frame_done) struct frame f = { 0 };
		struct frame_out out;
		int fd = t->spawner->calls[i].fd;

		if (fd < 0 || strcmp(t->spawner->calls[i].what, "judge") != 0)
			continue;
		t->spawner->calls[i].fd = -1;
		assert_int_equal(frame_recv_wait(fd, &f, 1000), 0);
		if (lie->text)
			assert_int_equal(fs_write_all(f.fds[1], lie->text, strlen(lie->text)), 0);
		if (lie->size)
			assert_int_equal(ftruncate(f.fds[1], lie->size), 0);
		frame_begin(&out, lie->type, f.id);
		if (lie->has_reason)
			frame_put_text(&out, CALL_TAG_REASON, "no-such-token");
		assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
		frame_out_done(&out);
		(void)close(fd);
	}
}

static void
a_judge_that_lies_is_only_a_refusal(void **state)
{
	static const struct lie rows[] = {
		{ "more than it may say", CALL_TYPE_OK, false, JUDGE_OUTPUT_MAX + 1, NULL,
			REASON_TOO_LARGE },
		{ "nothing", CALL_TYPE_OK, false, 0, NULL, REASON_MALFORMED },
		{ "no JSON", CALL_TYPE_OK, false, 0, "yes", REASON_MALFORMED },
		{ "a sparse file of zeroes", CALL_TYPE_OK, false, 1 << 20, NULL, REASON_MALFORMED },
		{ "JSON nested beyond reason", CALL_TYPE_OK, false, 0,
			"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
			"[[[]]"
			"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
			REASON_MALFORMED },
		{ "a frame of no type", 77, false, 0, NULL, REASON_MALFORMED },
		{ "progress instead of an end", CALL_TYPE_PROGRESS, false, 0, NULL,
			REASON_MALFORMED },
		{ "a policy that is none", CALL_TYPE_OK, false, 0, "{\"v\":2}", REASON_MALFORMED },
	};
	struct site_test *t = *state;
	char path[512];

	scratch_write(&t->dir, "policy.yaml", POLICY, strlen(POLICY));
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->dir.path);
	t->judge_hangs = true; /* play() is the judge */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_free) char *before = site_state(t);
		SCOPED(scope_free) char *after = NULL;
		SCOPED_JSON *params = json_pack("{s:s}", "path", path);
		uint64_t count = refuse_count((enum reason)rows[i].r);
		struct site_answer a = { 0 };

		monitor_call_inside(t->m, CALL_ROLE_CONTROL, "policy.apply", params, NULL, 0,
			site_on_answer, &a);
		for (unsigned k = 0; k < 1000 && !a.came; k++) {
			site_turn(t);
			play(t, &rows[i]);
		}
		assert_true(a.came);
		if (a.r != rows[i].r)
			fail_msg("%s: %d, not %d", rows[i].name, a.r, rows[i].r);
		assert_int_equal(refuse_count((enum reason)rows[i].r), count + 1);
		assert_int_equal(refuse_last()->reason, rows[i].r);
		after = site_state(t);
		assert_string_equal(before, after);
		t->spawner->n_calls = t->spawner->n_due = 0;
	}
	t->judge_hangs = false;
}

/* --- the program itself ---------------------------------------------------------------------------- */
struct program {
	pid_t pid;
	int fd;
};

static struct program
start_program(void)
{
	struct program p;
	char path[4096];
	int fds[2];
	const char *build = getenv("MAINSTAY_BUILD");

	(void)snprintf(path, sizeof(path), "%s/bin/mainstay-judge", build ? build : "build");
	assert_int_equal(frame_pair(fds), 0);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (p.pid == 0) {
		char *const argv[] = { path, NULL };

		(void)dup2(fds[1], 3);
		(void)execv(path, argv);
		_exit(127);
	}
	(void)close(fds[1]);
	p.fd = fds[0];
	return p;
}

/* Its exit code; 1000 + signal where it was killed. */
static int
end_program(struct program *p)
{
	int status;

	(void)close(p->fd);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void
skip_without_program(void)
{
	struct program p = start_program();

	if (end_program(&p) == 127)
		skip();
}

static void
the_program_answers_hostile_jobs_and_ends(void **state)
{
	static const struct {
		const char *name, *verb;
		uint16_t type;
		unsigned files;	  /* how many descriptors */
		off_t size;	  /* of the input, where it is not the text */
		uint16_t answers; /* with this type */
		const char *reason;
	} rows[] = {
		{ "a policy", "policy", CALL_TYPE_CALL, 2, 0, CALL_TYPE_OK, "" },
		{ "a kind that is none", "shell", CALL_TYPE_CALL, 2, 0, CALL_TYPE_REFUSED,
			"malformed" },
		{ "a frame of another type", "policy", CALL_TYPE_EVENT, 2, 0, CALL_TYPE_REFUSED,
			"malformed" },
		{ "no descriptor", "policy", CALL_TYPE_CALL, 0, 0, CALL_TYPE_REFUSED, "malformed" },
		{ "one descriptor", "policy", CALL_TYPE_CALL, 1, 0, CALL_TYPE_REFUSED,
			"malformed" },
		{ "three descriptors", "policy", CALL_TYPE_CALL, 3, 0, CALL_TYPE_REFUSED,
			"malformed" },
		{ "an input of a byte too many", "policy", CALL_TYPE_CALL, 2, JUDGE_INPUT_MAX + 1,
			CALL_TYPE_REFUSED, "too-large" },
		{ "an input that says it is enormous", "policy", CALL_TYPE_CALL, 2, (off_t)1 << 40,
			CALL_TYPE_REFUSED, "too-large" },
		{ "five megabytes of zeroes", "tuf", CALL_TYPE_CALL, 2, 5000000, CALL_TYPE_REFUSED,
			"malformed" },
	};

	(void)state;
	skip_without_program();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(frame_done) struct frame reply = { 0 };
		struct program p = start_program();
		struct frame_out out;
		int files[3] = { -1, -1, -1 };

		frame_begin(&out, rows[i].type, 4);
		frame_put_text(&out, CALL_TAG_VERB, rows[i].verb);
		frame_put_text(&out, CALL_TAG_TEXT, "job");
		for (unsigned k = 0; k < rows[i].files; k++) {
			files[k] = memfd_create("file", MFD_CLOEXEC);
			if (k == 0)
				assert_int_equal(fs_write_all(files[k], POLICY, strlen(POLICY)), 0);
			frame_put_fd(&out, files[k]);
		}
		if (rows[i].size) {
			(void)close(files[0]);
			files[0] = memfd_create("huge", MFD_CLOEXEC);
			assert_int_equal(ftruncate(files[0], rows[i].size), 0);
			out.fds[0] = files[0];
		}
		assert_int_equal(frame_send_wait(p.fd, &out, 5000), 0);
		frame_out_done(&out);
		assert_int_equal(frame_recv_wait(p.fd, &reply, 20000), 0);
		if (reply.type != rows[i].answers)
			fail_msg("%s: answered by %d", rows[i].name, reply.type);
		assert_string_equal(frame_text(&reply, CALL_TAG_REASON, 31) ?: "", rows[i].reason);
		assert_int_equal(end_program(&p), 0);
		for (unsigned k = 0; k < 3; k++)
			scope_close(&files[k]);
	}
}

static void
the_program_ends_where_no_job_comes(void **state)
{
	struct program p;

	(void)state;
	skip_without_program();
	p = start_program();
	assert_int_equal(end_program(&p), 4); /* the monitor left: a fault, never done */
	p = start_program();
	assert_int_equal(send(p.fd, "garbage", 7, 0), 7);
	assert_true(end_program(&p) != 0);
}

/* Output and input that are no memory files: it may write to what it was given, and to nothing else. */
static void
the_program_reads_and_writes_only_what_it_was_given(void **state)
{
	SCOPED(frame_done) struct frame reply = { 0 };
	struct site_test *t = *state;
	struct program p;
	struct frame_out out;
	int pipes[2];

	skip_without_program();
	p = start_program();
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	frame_begin(&out, CALL_TYPE_CALL, 4);
	frame_put_text(&out, CALL_TAG_VERB, "policy");
	frame_put_text(&out, CALL_TAG_TEXT, "/etc/passwd"); /* a name is only a name */
	frame_put_fd(&out, pipes[0]);
	frame_put_fd(&out, pipes[1]);
	assert_int_equal(frame_send_wait(p.fd, &out, 5000), 0);
	frame_out_done(&out);
	assert_int_equal(frame_recv_wait(p.fd, &reply, 20000), 0);
	assert_int_equal(reply.type, CALL_TYPE_REFUSED);
	assert_int_equal(end_program(&p), 0);
	for (size_t i = 0; i < 2; i++)
		(void)close(pipes[i]);
	(void)t;
}

/* The filter as the kernel has it: SECCOMP_MODE_FILTER and no_new_privs, before the job is read. */
static void
the_program_is_confined_before_it_reads(void **state)
{
	char path[64], text[4096] = "";
	bool confined = false;
	struct program p;

	(void)state;
	skip_without_program();
	p = start_program();
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)p.pid);
	for (unsigned i = 0; i < 500 && !confined; i++) {
		FILE *f = fopen(path, "re");
		size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

		text[n] = '\0';
		if (f)
			(void)fclose(f);
		confined = strstr(text, "\nSeccomp:\t2\n") && strstr(text, "\nNoNewPrivs:\t1\n");
		(void)usleep(10000);
	}
	assert_true(confined);
	(void)end_program(&p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_queue_takes_so_much_and_no_more, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(a_judge_that_hangs_is_ended, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(a_judge_that_is_killed_is_asked_twice_more, site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_judge_waits_for_a_supervisor_that_went_away, site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(where_nobody_starts_judges_nothing_is_judged,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_judge_that_lies_is_only_a_refusal, site_set_up,
			site_tear_down),
		cmocka_unit_test(the_program_answers_hostile_jobs_and_ends),
		cmocka_unit_test(the_program_ends_where_no_job_comes),
		cmocka_unit_test(the_program_reads_and_writes_only_what_it_was_given),
		cmocka_unit_test(the_program_is_confined_before_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
