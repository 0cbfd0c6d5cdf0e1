/* What a host may lack, or an operation: without it nothing runs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "appliance/base/refuse.h"
#include "appliance/loop/confine.h"
#include "appliance/service/sandbox.h"
#include "appliance/service/filter.h"
#include "tests/unit/remote/operate/bench.h"

/* Nothing ran, or it would have said so; bubblewrap may say why, as if it were the operation. */
static void
nothing_came(const struct bench *b)
{
	for (;;) {
		SCOPED(frame_done) struct frame f = { 0 };
		struct operate_output o;

		int r = frame_recv_wait(b->socks[1], &f, 1);

		if (r == REASON_UNREACHABLE)
			return;
		assert_int_equal(r, 0);
		assert_int_equal(operate_output_take(&f, &o), 0);
		assert_int_equal(o.stream, OPERATE_STDERR);
	}
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
		_exit(r == -ENOMEM && fd == -1 && refuse_count(REASON_NO_SANDBOX) == before ? 0 : 1);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_profile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sandbox, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_host_may_lack, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_filter_needs_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_filter_needs_room, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
