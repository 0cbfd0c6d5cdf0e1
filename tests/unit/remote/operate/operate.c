/* Operations in real sandboxes: what they may, what they may not, and how they end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/confine.h"
#include "appliance/service/filter.h"
#include "remote/operate/fence.h"
#include "remote/operate/job.h"
#include "remote/operate/mask.h"
#include "remote/operate/profile.h"
#include "remote/operate/worker.h"
#include "tests/fakes/scratch.h"

enum { TEXT_MAX = 4096 };

static const struct fence no_fence = { .kills = -1, .refusals = -1, .cpu = -1 };

struct bench {
	struct scratch s;
	struct operate_job job;
	char *script; /* the last of argv */
	int socks[2];
	struct operate_result result;
	struct buf out, err; /* what was received of the last run */
	size_t n_frames;
	char text[TEXT_MAX + 1], errors[TEXT_MAX + 1]; /* the same, or its beginning */
};

static int
setup(void **state)
{
	static const char *const subs[] = { "run", "data", "conf" };
	struct bench *b = calloc(1, sizeof(*b));

	scratch_make(&b->s);
	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		if (mkdirat(b->s.fd, subs[i], 0755) < 0)
			return -1;
	b->job = (struct operate_job){ .profile = OPERATE_OBSERVE,
		.tree = "/",
		.uid = geteuid(),
		.timeout_ms = 20000,
		.output = 65536 };
	(void)snprintf(b->job.run, sizeof(b->job.run), "%s/run", b->s.path);
	(void)snprintf(b->job.data, sizeof(b->job.data), "%s/data", b->s.path);
	(void)snprintf(b->job.conf, sizeof(b->job.conf), "%s/conf", b->s.path);
	b->out = b->err = BUF_MAX(OPERATE_OUTPUT_MAX);
	if (frame_pair(b->socks))
		return -1;
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	buf_done(&b->out);
	buf_done(&b->err);
	close(b->socks[0]);
	if (b->socks[1] >= 0)
		close(b->socks[1]);
	scratch_remove(&b->s);
	free(b);
	return 0;
}

static void
set_script(struct bench *b, const char *script)
{
	static char sh[] = "/bin/sh", c[] = "-c";

	b->job.argv[0] = sh;
	b->job.argv[1] = c;
	b->job.argv[2] = (char *)(uintptr_t)script; /* borrowed, and only read */
	b->job.argv[3] = NULL;
}

static void
copy_text(char text[TEXT_MAX + 1], const struct buf *b)
{
	size_t len = b->len < TEXT_MAX ? b->len : TEXT_MAX;

	memcpy(text, buf_text(b), len);
	text[len] = '\0';
}

/* The monitor's end: takes what comes until something else than output does. */
static void *
listen_to(void *arg)
{
	struct bench *b = arg;

	for (;;) {
		SCOPED(frame_done) struct frame f = { 0 };
		struct operate_output o;

		if (frame_recv_wait(b->socks[1], &f, 0) != 0 || f.type != OPERATE_OUTPUT)
			return NULL;
		assert_int_equal(operate_output_take(&f, &o), 0);
		buf_put(o.stream == OPERATE_STDOUT ? &b->out : &b->err, o.bytes, o.len);
		b->n_frames++;
	}
}

static int
run(struct bench *b, const char *script, int stop_fd)
{
	bool listens = b->socks[1] >= 0;
	struct operate_result end = { .outcome = OPERATE_OK };
	pthread_t listener;
	int r;

	set_script(b, script);
	buf_reset(&b->out);
	buf_reset(&b->err);
	b->n_frames = 0;
	if (listens)
		assert_int_equal(pthread_create(&listener, NULL, listen_to, b), 0);
	r = worker_run(&b->job, &no_fence, b->socks[0], stop_fd, &b->result);
	if (listens) {
		assert_int_equal(operate_result_send(b->socks[0], &end), 0);
		assert_int_equal(pthread_join(listener, NULL), 0);
	}
	copy_text(b->text, &b->out);
	copy_text(b->errors, &b->err);
	return r;
}

/* Nothing ran, or it would have said so; bubblewrap may say why, as if it were the operation. */
static void
nothing_came(const struct bench *b)
{
	for (;;) {
		SCOPED(frame_done) struct frame f = { 0 };
		struct operate_output o;

		if (frame_recv_wait(b->socks[1], &f, 1) == REASON_UNREACHABLE)
			return;
		assert_int_equal(operate_output_take(&f, &o), 0);
		assert_int_equal(o.stream, OPERATE_STDERR);
	}
}

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
	assert_true(b->result.cpu_ms >= 1000);
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

static void
test_no_tree(void **state)
{
	struct bench *b = *state;

	(void)snprintf(b->job.tree, sizeof(b->job.tree), "%s/none", b->s.path);
	assert_int_equal(run(b, "true", -1), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	(void)snprintf(b->job.tree, sizeof(b->job.tree), "%s/run", b->s.path);
	assert_int_equal(mkfifoat(b->s.fd, "run/fifo", 0644), 0);
	assert_int_equal(run(b, "true", -1), REASON_UNSAFE_TREE);
	assert_int_equal(refuse_last()->reason, REASON_UNSAFE_TREE);
}

static void
test_no_profile(void **state)
{
	struct bench *b = *state;

	b->job.profile = 0;
	assert_int_equal(run(b, "true", -1), REASON_NO_SANDBOX);
	assert_int_equal(refuse_last()->reason, REASON_NO_SANDBOX);
}

static void
test_no_sandbox(void **state)
{
	struct bench *b = *state;
	int status = -1;
	pid_t pid;

	/* A process that may make no namespaces, as on a host that gives none. */
	pid = fork();
	if (pid == 0) {
		int r = confine_enter(CONFINE_DAEMON);

		if (r == 0 && geteuid() == 0)
			r = setresuid(61183, 61183, 61183);
		set_script(b, "echo ran");
		r = r ?: worker_run(&b->job, &no_fence, b->socks[0], -1, &b->result);
		_exit(r == REASON_NO_SANDBOX && refuse_last()->reason == REASON_NO_SANDBOX ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	nothing_came(b);
}

/* In a child, for none of it can be undone: what spoils makes a host that lacks something, and then nothing runs. */
static void
refused_without(struct bench *b, int (*spoil)(struct bench *b), const char *text)
{
	uint64_t before = refuse_count(REASON_NO_SANDBOX);
	int status = -1, said[2];
	char line[TEXT_MAX];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int r = dup2(said[1], STDERR_FILENO) < 0 ? -errno : spoil(b);

		set_script(b, "echo ran");
		r = r ?: worker_run(&b->job, &no_fence, b->socks[0], -1, &b->result);
		_exit(r != REASON_NO_SANDBOX					? 1
				: refuse_count(REASON_NO_SANDBOX) != before + 1 ? 2
				: strstr(refuse_last()->text, text)		? 0
										: 3);
	}
	close(said[1]);
	/* Through a pipe, for a child that may write no file. */
	while ((n = read(said[0], line, sizeof(line))) > 0)
		assert_int_equal(write(STDERR_FILENO, line, (size_t)n), n);
	close(said[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	nothing_came(b);
}

static int
without_bubblewrap(struct bench *b)
{
	(void)snprintf(b->job.run, sizeof(b->job.run), "/run");
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		return -errno;
	return chroot(b->s.path) < 0 || chdir("/") < 0 ? -errno : 0;
}

/* A filter is written into a memory file; here nothing can be written into any. */
static int
without_room(struct bench *b)
{
	const struct rlimit none = { 0, 0 };

	(void)b;
	(void)signal(SIGXFSZ, SIG_IGN);
	return setrlimit(RLIMIT_FSIZE, &none) < 0 ? -errno : 0;
}

/* The operation may have more processes than we may grant. */
static int
without_rights(struct bench *b)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	const struct rlimit few = { 10000, 10000 };

	b->job.processes = 20000;
	if (setrlimit(RLIMIT_NPROC, &few) < 0 || syscall(SYS_capget, &head, caps) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		uint32_t resource =
			i == CAP_SYS_RESOURCE / 32 ? UINT32_C(1) << CAP_SYS_RESOURCE % 32 : 0;

		caps[i].effective &= ~resource;
		caps[i].permitted &= ~resource;
		caps[i].inheritable &= ~resource;
	}
	return syscall(SYS_capset, &head, caps) < 0 ? -errno : 0;
}

/* Every byte of the heap is taken, and there are no more. */
static int
without_memory(struct bench *b)
{
	const struct rlimit none = { 0, 0 };

	(void)b;
	if (setrlimit(RLIMIT_AS, &none) < 0)
		return -errno;
	for (size_t size = 1 << 20; size >= 8; size /= 2)
		while (malloc(size))
			;
	return 0;
}

static void
test_what_a_host_may_lack(void **state)
{
	struct bench *b = *state;
	const struct operate_job good = b->job;

	refused_without(b, without_bubblewrap, SANDBOX_PROGRAM " cannot be opened");
	b->job = good;
	refused_without(b, without_room, "the filter cannot be written");
	refused_without(b, without_rights, "its limits could not be set");
}

static void
test_a_filter_needs_memory(void **state)
{
	struct bench *b = *state;
	uint64_t before = refuse_count(REASON_NO_SANDBOX);
	int status = -1;
	pid_t pid;

#ifdef __SANITIZE_ADDRESS__
	skip(); /* its allocator ends the program where we would be told */
#endif
	pid = fork();
	if (pid == 0) {
		int fd = -1, r = without_memory(b);

		r = r ?: filter_export(&fd);
		_exit(r == REASON_NO_SANDBOX && refuse_count(REASON_NO_SANDBOX) == before + 1 &&
					strstr(refuse_last()->text, "cannot be built")
				? 0
				: 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Nor may the filter be written where no file may have a byte. */
static void
test_a_filter_needs_room(void **state)
{
	const struct rlimit none = { 0, 0 };
	uint64_t before = refuse_count(REASON_NO_SANDBOX);
	int status = -1;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		int fd = -1, r;

		(void)signal(SIGXFSZ, SIG_IGN);
		r = setrlimit(RLIMIT_FSIZE, &none) < 0 ? -errno : filter_export(&fd);
		_exit(r == REASON_NO_SANDBOX && refuse_count(REASON_NO_SANDBOX) == before + 1 && fd == -1 &&
					strstr(refuse_last()->text, "cannot be written")
				? 0
				: 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- secrets ------------------------------------------------------------------------------------ */
#define CANARY "c4n4ry-c4n4ry-c4n4ry"

static int
a_secret(const char *text)
{
	int fd = memfd_create("secret", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void
give_secret(struct bench *b, const char *text, uint32_t from, uint32_t len)
{
	b->job.secrets[0] = (struct operate_secret){ .name = "word", .fd = a_secret(text), .from = from, .len = len };
	b->job.n_secrets = 1;
}

/* How a program prints it, and what is recorded: by way of both outputs, whole, in pieces, cut off. */
static const struct {
	const char *script, *out, *err;
} printed[] = {
	{ "cat /run/secrets/word", "word is \"***\"\n", "" },
	{ "cat /run/secrets/word >&2; exit 1", "", "word is \"***\"\n" },
	{ "stat -c %a /run/secrets/word; echo x >/run/secrets/word; rm -f /run/secrets/word; ls /run/secrets",
		"400\nword\n", NULL },
	{ "for c in c4n 4ry-c4n 4ry- c4n4ry; do printf %s $c; sleep 0.1; done; printf ' end'", "*** end", "" },
	{ "printf c4n4ry-c4n4ry-c4n4rx", "c4n4ry-c4n4ry-c4n4rx", "" },
	{ "printf c4n4ry-c4n4ry-c4n4ry-c4n; sleep 0.1; printf x", "***-c4nx", "" },
	{ "printf 'c4n4ry-c4n4ry-c4n4'", "***", "" },
	{ "printf 'c4'", "c4", "" },
	{ "env; cat /proc/self/cmdline | tr '\\0' ' '", NULL, "" },
};

static void
test_secrets(void **state)
{
	struct bench *b = *state;

	b->job.profile = OPERATE_CHANGE;
	for (size_t i = 0; i < ARRAY_LEN(printed); i++) {
		give_secret(b, "word is \"" CANARY "\"\n", 9, sizeof(CANARY) - 1);
		assert_int_equal(run(b, printed[i].script, -1), 0);
		close(b->job.secrets[0].fd);
		if (printed[i].out && strcmp(b->text, printed[i].out) != 0)
			fail_msg("%s: %s", printed[i].script, b->text);
		if (printed[i].err && strcmp(b->errors, printed[i].err) != 0)
			fail_msg("%s: %s", printed[i].script, b->errors);
		assert_null(strstr(b->text, CANARY));
		assert_null(strstr(b->errors, CANARY));
	}
}

/* However it falls on the pieces that are read and the frames that are sent: at each byte of both. */
static void
test_secrets_between_frames(void **state)
{
	struct bench *b = *state;
	char script[160];

	b->job.profile = OPERATE_CHANGE;
	for (int before = OPERATE_CHUNK_MAX - (int)sizeof(CANARY); before <= OPERATE_CHUNK_MAX; before += 5) {
		give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
		(void)snprintf(script, sizeof(script), "{ head -c %d /dev/zero | tr '\\0' x; cat /run/secrets/word; } >&2", before);
		assert_int_equal(run(b, script, -1), 0);
		close(b->job.secrets[0].fd);
		assert_int_equal(b->err.len, before + 3);
		assert_string_equal(buf_text(&b->err) + before, "***");
	}
}

/* Killed while it held back what could be a secret's beginning; and a room that ends within one. */
static void
test_secrets_cut_off(void **state)
{
	struct bench *b = *state;

	b->job.profile = OPERATE_CHANGE;
	b->job.timeout_ms = 700;
	give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
	assert_int_equal(run(b, "printf c4n4ry-c4n4; sleep 1000", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_string_equal(b->text, "***");
	close(b->job.secrets[0].fd);
	b->job.timeout_ms = 20000;
	b->job.output = 10;
	give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
	assert_int_equal(run(b, "printf 12345678; cat /run/secrets/word", -1), 0);
	assert_string_equal(b->text, "12345678**");
	assert_true(b->result.truncated);
	close(b->job.secrets[0].fd);
}

static void
test_observe_has_no_secrets(void **state)
{
	struct bench *b = *state;

	give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
	assert_int_equal(run(b, "ls /run/secrets /run; ls /proc/self/fd | wc -l", -1), 0);
	assert_string_equal(b->text, "/run:\nservice\n4\n");
	close(b->job.secrets[0].fd);
}

static void
test_a_secret_that_is_not_there(void **state)
{
	struct bench *b = *state;
	uint64_t before = refuse_count(REASON_MALFORMED);

	b->job.profile = OPERATE_CHANGE;
	give_secret(b, "short", 2, 4);
	assert_int_equal(run(b, "echo ran", -1), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_string_equal(b->text, "");
	b->job.secrets[0].len = 0;
	assert_int_equal(run(b, "echo ran", -1), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 2);
	assert_string_equal(b->text, "");
	close(b->job.secrets[0].fd);
}

static void
test_masks(void **state)
{
	static const struct {
		const char *says, *pieces[4], *out;
	} rows[] = {
		{ "one inside another: the longest", { "xabcdefx", "" }, "x***x" },
		{ "the shorter alone", { "xabcx", "" }, "x***x" },
		{ "the longer, begun in one read and ended in the next", { "xabc", "defx" }, "x***x" },
		{ "the shorter, that could have been the longer", { "xabcd", "ex" }, "x***dex" },
		{ "the shorter at the end", { "xabc", "" }, "x***" },
		{ "one after the other", { "abcabc", "abcdef" }, "*********" },
		{ "a byte at a time", { "a", "b", "c", "z" }, "***z" },
		{ "begun again within itself", { "ab", "abc" }, "ab***" },
	};
	struct operate_secret secrets[2] = { { .name = "short", .fd = a_secret("abc"), .len = 3 },
		{ .name = "long", .fd = a_secret("abcdef"), .len = 6 } };
	struct mask m;

	(void)state;
	assert_int_equal(mask_load(&m, secrets, 2), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(4096);
		struct mask_rest rest = { .len = 0 };

		for (size_t k = 0; k < ARRAY_LEN(rows[i].pieces) && rows[i].pieces[k]; k++)
			assert_int_equal(mask_feed(&m, &rest, rows[i].pieces[k], strlen(rows[i].pieces[k]),
						 false, &out),
				0);
		assert_int_equal(mask_feed(&m, &rest, "", 0, true, &out), 0);
		if (strcmp(buf_text(&out), rows[i].out) != 0)
			fail_msg("%s: %s", rows[i].says, buf_text(&out));
		assert_int_equal(rest.len, 0);
	}
	mask_done(&m);
	assert_int_equal(m.n, 0);
	close(secrets[0].fd);
	close(secrets[1].fd);
}

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
		cmocka_unit_test_setup_teardown(test_no_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_profile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sandbox, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_host_may_lack, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_filter_needs_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_filter_needs_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_between_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observe_has_no_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_secret_that_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masks, setup, teardown),
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
