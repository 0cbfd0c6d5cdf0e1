/* One run of a customer's program: what it gets, and that nothing of it is left. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/notify_run.h"
#include "appliance/monitor/notify_wire.h"
#include "tests/fakes/scratch.h"

struct job {
	struct scratch dir;
	uint64_t limit_s, took_us;
	int fds; /* descriptors that go along */
	unsigned type;
};

static void
put_program(const struct job *j, const char *script)
{
	scratch_write(&j->dir, "program", script, strlen(script));
	assert_int_equal(fchmodat(j->dir.fd, "program", 0755, 0), 0);
}

/* Run the worker's half in a process of its own, as it is: filter, limits and subreaper stay there. */
static int
run(struct job *j)
{
	SCOPED(frame_out_done) struct frame_out out;
	uint64_t began = clock_mono_us();
	char path[512];
	int pair[2], status, input = -1, program;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/program", j->dir.path);
	program = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(program >= 0);
	assert_int_equal(fs_memfd(&input, "event", "{\"event\":\"request\"}\n", 20), 0);
	assert_int_equal(frame_pair(pair), 0);
	frame_begin(&out, j->type ? j->type : CALL_TYPE_CALL, 1);
	frame_put_text(&out, CALL_TAG_TEXT, path);
	if (j->limit_s)
		frame_put_u64(&out, NOTIFY_WIRE_LIMIT, j->limit_s);
	if (j->fds > 0)
		frame_put_fd(&out, program);
	if (j->fds > 1)
		frame_put_fd(&out, input);
	assert_int_equal(frame_send_wait(pair[0], &out, 1000), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint64_t before[] = { refuse_count(REASON_MALFORMED), refuse_count(REASON_BUSY), refuse_count(REASON_INTERRUPTED) };
		int r = chdir(j->dir.path) == 0 ? notify_run(pair[1]) : -errno;

		/* Each refusal was counted, once. */
		if ((r == REASON_MALFORMED) != refuse_count(REASON_MALFORMED) - before[0] ||
			(r == REASON_BUSY) != refuse_count(REASON_BUSY) - before[1] ||
			(r == REASON_INTERRUPTED) != refuse_count(REASON_INTERRUPTED) - before[2])
			_exit(99);
		_exit(r < 0 ? 100 : r);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pair[0]);
	close(pair[1]);
	close(program);
	close(input);
	j->took_us = clock_mono_us() - began;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static pid_t
read_pid(const struct job *j, const char *name)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64);
	int pid = 0;

	assert_int_equal(fs_read(j->dir.fd, name, 64, &b), 0);
	assert_int_equal(sscanf(buf_text(&b), "%d", &pid), 1);
	assert_true(pid > 1);
	return pid;
}

static void
it_reads_the_event_and_nothing_else(void **state)
{
	struct job *j = *state;
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);

	put_program(j, "#!/bin/sh\n{ cat; env | grep -v ^PWD= | grep -v ^_= ; ls /proc/self/fd | grep -c .; } > out\nexit 3\n");
	assert_int_equal(run(j), 0); /* what it ends with is its own affair */
	assert_int_equal(fs_read(j->dir.fd, "out", 4096, &b), 0);
	assert_memory_equal(b.data, "{\"event\":\"request\"}\n", 20);
	assert_null(strstr(buf_text(&b), "MAINSTAY"));
	assert_null(strstr(buf_text(&b), "HOME"));
}

/* In a session of its own, and its parent gone: still it ends with the program. */
static void
what_it_leaves_behind_ends_with_it(void **state)
{
	struct job *j = *state;

	put_program(j, "#!/bin/sh\n"
		       "setsid sh -c 'sleep 300 & echo $! > left; wait' </dev/null >/dev/null 2>&1 &\n"
		       "while [ ! -s left ]; do sleep 0.01; done\n");
	assert_int_equal(run(j), 0);
	assert_int_equal(kill(read_pid(j, "left"), 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_true(j->took_us < 20 * CLOCK_US_PER_S);
}

static void
what_takes_too_long_is_ended_whole(void **state)
{
	struct job *j = *state;

	j->limit_s = 1;
	put_program(j, "#!/bin/sh\ntrap '' TERM\n"
		       "setsid sh -c 'trap \"\" TERM; echo $$ > left; sleep 300' &\necho $$ > own\n"
		       "while :; do sleep 300; done\n");
	assert_int_equal(run(j), REASON_BUSY);
	assert_int_equal(kill(read_pid(j, "own"), 0), -1);
	assert_int_equal(kill(read_pid(j, "left"), 0), -1);
	assert_true(j->took_us >= CLOCK_US_PER_S && j->took_us < 20 * CLOCK_US_PER_S);
}

/* Whoever ends us means all of it, and now. */
static void
a_signal_to_end_ends_all_at_once(void **state)
{
	struct job *j = *state;

	put_program(j, "#!/bin/sh\ntrap '' TERM\n"
		       "setsid sh -c 'trap \"\" TERM; echo $$ > left; sleep 300' &\n"
		       "while [ ! -s left ]; do sleep 0.01; done\necho $$ > own\nkill -TERM $PPID\n"
		       "while :; do sleep 300; done\n");
	assert_int_equal(run(j), REASON_INTERRUPTED);
	assert_int_equal(kill(read_pid(j, "own"), 0), -1);
	assert_int_equal(kill(read_pid(j, "left"), 0), -1);
	assert_true(j->took_us < 5 * CLOCK_US_PER_S);
}

static void
a_job_of_another_form_runs_nothing(void **state)
{
	struct job *j = *state;
	static const struct {
		uint64_t limit_s;
		int fds;
		unsigned type;
	} rows[] = {
		{ 0, 2, CALL_TYPE_CALL },
		{ NOTIFY_RUN_LIMIT_MAX_S + 1, 2, CALL_TYPE_CALL },
		{ 5, 1, CALL_TYPE_CALL },
		{ 5, 2, CALL_TYPE_OK },
	};
	struct stat st;

	put_program(j, "#!/bin/sh\necho yes > out\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		j->limit_s = rows[i].limit_s;
		j->fds = rows[i].fds;
		j->type = rows[i].type;
		assert_int_equal(run(j), REASON_MALFORMED);
		assert_int_equal(fstatat(j->dir.fd, "out", &st, 0), -1);
	}
}

static int
set_up(void **state)
{
	static struct job job;

	job = (struct job){ .limit_s = 30, .fds = 2 };
	scratch_make(&job.dir);
	*state = &job;
	return 0;
}

static int
tear_down(void **state)
{
	struct job *j = *state;

	scratch_remove(&j->dir);
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		TEST(it_reads_the_event_and_nothing_else),
		TEST(what_it_leaves_behind_ends_with_it),
		TEST(a_signal_to_end_ends_all_at_once),
		TEST(what_takes_too_long_is_ended_whole),
		TEST(a_job_of_another_form_runs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
