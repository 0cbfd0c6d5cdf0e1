/* Operations in real sandboxes: what they may, what they may not, and how they end. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "appliance/base/clock.h"
#include "tests/unit/remote/operate/bench.h"

static void
test_ends(void **state)
{
	struct bench *b = *state;

	assert_int_equal(run(b, "echo out; echo err >&2; exit 0", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_OK);
	assert_string_equal(b->text, "out\n");
	assert_string_equal(b->errors, "err\n");
	assert_int_equal(b->result.exit_status, 0);
	assert_false(b->result.truncated);
	/* It is somebody: programs look up who they are. */
	assert_int_equal(run(b, "id -un; id -gn; echo x >>/etc/passwd", -1), 0);
	assert_string_equal(b->text, "run\nrun\n");
	assert_int_not_equal(b->result.exit_status, 0);
	assert_int_equal(run(b, "exit 7", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_FAILED);
	assert_int_equal(b->result.exit_status, 7);
	assert_int_equal(run(b, "sh -c 'kill -SEGV $$'; exit 139", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_FAILED);
	assert_int_equal(b->result.exit_status, -1);
	assert_int_equal(b->result.signal, SIGSEGV);
	assert_int_equal(run(b, "exec /no/such/program", -1), 0);
	assert_int_equal(b->result.exit_status, 127);
}

static void
test_timeout(void **state)
{
	struct bench *b = *state;

	b->job.timeout_ms = 700;
	/* With everything it started, whatever that thinks of TERM. */
	assert_int_equal(run(b, "trap '' TERM; sleep 1000 & echo begun; sleep 1000", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_string_equal(b->text, "begun\n");
	assert_true(b->result.wall_ms >= 700 && b->result.wall_ms < 10000);
}

static void
test_flood(void **state)
{
	struct bench *b = *state;

	b->job.output = 1000;
	assert_int_equal(run(b, "head -c 10000000 /dev/zero; echo end >&2; exit 0", -1), 0);
	assert_int_equal(b->result.outcome,
		OPERATE_OK); /* it was read to its end, and thrown away */
	assert_true(b->result.truncated);
	assert_int_equal(b->out.len, 1000);
	assert_int_equal(b->err.len, 0);
	/* And as much as there may be, which no socket holds at once. */
	b->job.output = 4 << 20;
	assert_int_equal(run(b, "head -c 4194304 /dev/zero; exit 3", -1), 0);
	assert_int_equal(b->result.exit_status, 3);
	assert_false(b->result.truncated);
	assert_int_equal(b->out.len, 4 << 20);
}

static void
test_output_is_live(void **state)
{
	struct bench *b = *state;

	assert_int_equal(run(b, "for i in 1 2 3; do echo $i; sleep 0.1; done; echo 4 >&2", -1), 0);
	assert_string_equal(b->text, "1\n2\n3\n");
	assert_string_equal(b->errors, "4\n");
	assert_int_equal(b->n_frames, 4);
}

/* Time stands still until the socket is full, then runs fast: half a second at a time, as far as the worker needs it. */
struct fast_time {
	int sock;
	pthread_t worker;
	_Atomic bool ended, was_full;
};

static void
on_tick(int signo)
{
	(void)signo;
}

static void *
run_fast(void *arg)
{
	enum { TICK_MS = 500, TICKS = 18, PAUSE_US = 10000 };
	struct fast_time *t = arg;
	struct pollfd p = { .fd = t->sock, .events = POLLOUT };

	while (!t->ended && poll(&p, 1, 0) != 0)
		(void)usleep(PAUSE_US);
	t->was_full = !t->ended;
	for (unsigned i = 1; !t->ended; i++) {
		if (i <= TICKS)
			clock_fake(1, 1 + i * TICK_MS * CLOCK_US_PER_MS);
		(void)pthread_kill(t->worker, SIGUSR1); /* what it waits for, it waits for anew */
		(void)usleep(PAUSE_US);
	}
	return NULL;
}

/* The operation waits with what it writes; its time runs on, and so does the worker. */
static void
test_a_monitor_that_does_not_read(void **state)
{
	struct bench *b = *state;
	struct fast_time t = { .sock = b->socks[0], .worker = pthread_self() };
	const struct sigaction tick = { .sa_handler = on_tick };
	struct sigaction before;
	pthread_t thread;

	b->job.output = 8 << 20;
	b->job.timeout_ms = 700;
	set_script(b, "head -c 8000000 /dev/zero; sleep 1000");
	assert_int_equal(sigaction(SIGUSR1, &tick, &before), 0);
	clock_fake(1, 1);
	assert_int_equal(pthread_create(&thread, NULL, run_fast, &t), 0);
	assert_int_equal(worker_run(&b->job, &no_fence, b->socks[0], -1, &b->result), 0);
	t.ended = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	clock_real();
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
	assert_true(t.was_full);
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_true(b->result.wall_ms >= 700 && b->result.wall_ms < 10000);
}

static void
test_memory(void **state)
{
	struct bench *b = *state;

	b->job.memory = 64 * 1024 * 1024;
	assert_int_equal(run(b,
				 "head -c 200000000 /dev/zero | sort >/dev/null; sort -S 500M "
				 "/dev/null && "
				 "perl -e '$x = \"a\" x 300000000; print length $x'",
				 -1),
		0);
	assert_string_equal(b->text, "");
	assert_int_equal(b->result.outcome, OPERATE_FAILED);
}

static void
test_processes(void **state)
{
	struct bench *b = *state;

	if (geteuid() == 0)
		b->job.uid = 0; /* root's processes are not counted: look at the limit itself */
	b->job.processes = 5;
	assert_int_equal(run(b, "ulimit -u", -1), 0);
	if (*b->text == '\0') /* dash has no -u */
		assert_int_equal(run(b,
					 "grep processes /proc/self/limits | tr -s ' ' | cut -d' ' "
					 "-f3",
					 -1),
			0);
	assert_string_equal(b->text, "5\n");
}

/* Time stands still here, so that what spins meets the end of its processor time, in a second of that. */
static void
test_processor_time(void **state)
{
	struct bench *b = *state;

	b->job.timeout_ms = 900;
	clock_fake(1, 1);
	assert_int_equal(run(b, "while :; do :; done", -1), 0);
	clock_real();
	assert_int_equal(b->result.outcome, OPERATE_FAILED);
	assert_int_equal(b->result.signal, SIGKILL);
	assert_true(b->result.cpu_ms >= 900); /* the kernel counts ticks */
	assert_int_equal(b->result.limits, OPERATE_LIMIT_CPU);
}

/* Without a group nobody counts: what looks like a limit is said to look like one, and nothing else is. */
static void
test_limits_that_nobody_counts(void **state)
{
	static const struct {
		const char *script;
		uint64_t memory;
		enum operate_outcome outcome;
		unsigned limits;
	} rows[] = {
		{ "sh -c 'kill -KILL $$'; exit 137", 64 << 20, OPERATE_FAILED, OPERATE_LIMIT_UNTOLD },
		{ "sh -c 'kill -SEGV $$'; exit 139", 0, OPERATE_FAILED, OPERATE_LIMIT_UNTOLD },
		{ "perl -e '$x = \"a\" x 48000000; print \"b\"; $y = \"a\" x 48000000'", 100 << 20, OPERATE_FAILED,
			OPERATE_LIMIT_UNTOLD },
		{ "exit 3", UINT64_C(1) << 40, OPERATE_FAILED, 0 }, /* all children of this test count */
		{ "exit 0", 64 << 20, OPERATE_OK, 0 },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		b->job.memory = rows[i].memory;
		assert_int_equal(run(b, rows[i].script, -1), 0);
		if (b->result.outcome != rows[i].outcome || b->result.limits != rows[i].limits)
			fail_msg("%s: outcome %d, limits %u, rss %ju: %s", rows[i].script, (int)b->result.outcome,
				b->result.limits, (uintmax_t)b->result.max_rss, b->errors);
	}
}

static void
test_observe(void **state)
{
	struct bench *b = *state;

	assert_int_equal(run(b, "touch /usr/x; touch /run/service/x; touch /x; ls /data; ls /conf",
				 -1),
		0);
	assert_non_null(strstr(b->errors, "'/usr/x': Read-only file system"));
	assert_non_null(strstr(b->errors, "'/run/service/x': Read-only file system"));
	assert_non_null(strstr(b->errors, "'/x': Read-only file system"));
	assert_non_null(strstr(b->errors, "'/data': No such file"));
	assert_non_null(strstr(b->errors, "'/conf': No such file"));
	assert_int_equal(run(b, "touch /tmp/x && echo $$ && tail -n +3 /proc/net/dev | cut -d: -f1",
				 -1),
		0);
	assert_string_equal(b->text,
		"1\n    lo\n"); /* alone in its namespace, with a network of nothing */
	assert_int_equal(run(b,
				 "env | sort | cut -d= -f1 | tr '\\n' ' '; grep -E "
				 "'^(Cap|NoNew|Seccomp:)' "
				 "/proc/self/status | tr -s '\\t\\n' '  '",
				 -1),
		0);
	assert_string_equal(b->text,
		"LANG PATH PWD CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: "
		"0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1 "
		"Seccomp: 2 ");
	assert_int_equal(run(b, "unshare -Ur true; unshare -m true; ls /proc/self/fd | wc -l", -1),
		0);
	assert_string_equal(b->text, "4\n"); /* 0, 1, 2 and the one that lists */
	assert_non_null(strstr(b->errors, "Operation not permitted"));
	assert_int_equal(faccessat(b->s.fd, "run/x", F_OK, 0), -1);
}

static void
test_change(void **state)
{
	struct bench *b = *state;

	b->job.profile = OPERATE_CHANGE;
	b->job.declared = OPERATE_MAY_NETWORK; /* is not its to declare */
	assert_int_equal(run(b,
				 "touch /data/d /conf/c && touch /usr/x; tail -n +3 /proc/net/dev "
				 "| wc -l",
				 -1),
		0);
	assert_string_equal(b->text, "1\n");
	assert_non_null(strstr(b->errors, "Read-only file system"));
	assert_int_equal(faccessat(b->s.fd, "data/d", F_OK, 0), 0);
	assert_int_equal(faccessat(b->s.fd, "conf/c", F_OK, 0), 0);
}

static void
test_destroy(void **state)
{
	struct bench *b = *state;

	b->job.profile = OPERATE_DESTROY;
	assert_int_equal(run(b, "ls -d /data /conf 2>/dev/null; true", -1), 0);
	assert_string_equal(b->text, ""); /* nothing declared, nothing there */
	b->job.declared = OPERATE_MAY_DATA;
	assert_int_equal(run(b, "ls -d /data /conf 2>/dev/null; true", -1), 0);
	assert_string_equal(b->text, "/data\n");
}

static void
test_cancelled(void **state)
{
	struct bench *b = *state;
	SCOPED(scope_close) int stop = eventfd(1, EFD_CLOEXEC);

	assert_int_equal(run(b, "sleep 1000", stop), 0);
	assert_int_equal(b->result.outcome, OPERATE_CANCELLED);
	close(b->socks[1]); /* the monitor is gone */
	b->socks[1] = -1;
	assert_int_equal(run(b, "sleep 1000", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_CANCELLED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output_is_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_monitor_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processor_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits_that_nobody_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
