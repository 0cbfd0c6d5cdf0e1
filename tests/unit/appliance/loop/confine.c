/* Each profile is entered in a process of its own, for there is no way back. */
#include "appliance/loop/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "appliance/base/refuse.h"

/* The exit code of fn in a child; 1000 + signal where it was killed. */
static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a core of a killed one helps nobody */
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int
judge(void)
{
	int fds[2];
	char c = 'x';

	if (pipe(fds) < 0 || confine_enter(CONFINE_JUDGE) != 0)
		return 1;
	if (write(fds[1], &c, 1) != 1 || read(fds[0], &c, 1) != 1)
		return 2;
	if (!malloc(1 << 22))
		return 3;
	if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
		return 4;
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM)
		return 5;
	if (fork() >= 0 || errno != EPERM)
		return 6;
	return 0;
}

/* A judge that takes connections, and opens none. */
static int
show(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(server, (struct sockaddr *)&sa, sizeof(sa)) < 0 || getsockname(server, (struct sockaddr *)&sa, &len) < 0 ||
		listen(server, 1) < 0 || connect(client, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return 1;
	if (confine_enter(CONFINE_DAEMON) != 0 || confine_enter(CONFINE_SHOW) != 0) /* one after the other */
		return 2;
	if (accept4(server, NULL, NULL, SOCK_CLOEXEC) < 0)
		return 3;
	if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
		return 4;
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM || socket(AF_INET, SOCK_STREAM, 0) >= 0)
		return 5;
	if (connect(client, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno != EPERM)
		return 6;
	return fork() < 0 && errno == EPERM ? 0 : 7;
}

static int
no_inet(void)
{
	if (confine_enter(CONFINE_NO_INET) != 0)
		return 1;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ||
		socket(AF_PACKET, SOCK_RAW, 0) >= 0)
		return 2;
	if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		return 3;
	if (mount("none", "/mnt", "tmpfs", 0, NULL) == 0 || errno != EPERM)
		return 4;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 5;
}

/* The same, and it may ask whether the clock is synchronised. */
static int
collect(void)
{
	struct timex clock = { 0 };

	if (confine_enter(CONFINE_COLLECT) != 0)
		return 1;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EAFNOSUPPORT)
		return 2;
	if (adjtimex(&clock) < 0)
		return 3;
	return unshare(CLONE_NEWUSER) == 0 || errno != EPERM ? 4 : 0;
}

static int
daemon_profile(void)
{
	struct timex clock = { 0 };

	if (confine_enter(CONFINE_DAEMON) != 0)
		return 1;
	if (adjtimex(&clock) >= 0 || errno != EPERM)
		return 5;
	if (socket(AF_INET, SOCK_STREAM, 0) < 0)
		return 2;
	if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
		return 3;
	if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
		return 4;
	return 0;
}

static int
traces(void)
{
	if (confine_enter(CONFINE_DAEMON) != 0)
		return 1;
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 2 : 3;
}

static int
judge_traces(void)
{
	if (confine_enter(CONFINE_JUDGE) != 0)
		return 1;
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 2 : 3;
}

static int
no_second_filter(void)
{
	if (confine_enter(CONFINE_JUDGE) != 0)
		return 1;
	/* The judge may not ask for another filter: to the second call the kernel does not take it. */
	return confine_enter(CONFINE_DAEMON) == REASON_NO_SANDBOX &&
			refuse_last()->reason == REASON_NO_SANDBOX
		? 0
		: 2;
}

static int
not_dumpable(void)
{
	struct rlimit limit;

	if (confine_dumpable() != 0 || getrlimit(RLIMIT_CORE, &limit) < 0)
		return 1;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && limit.rlim_max == 0 ? 0 : 2;
}

static void
the_judge_has_memory_and_its_descriptors(void **state)
{
	(void)state;
	assert_int_equal(in_child(judge), 0);
	assert_int_equal(in_child(judge_traces), 1000 + SIGSYS);
}

static void
who_shows_a_page_takes_connections_and_makes_none(void **state)
{
	(void)state;
	assert_int_equal(in_child(show), 0);
}

static void
a_daemon_without_network_has_unix_sockets_only(void **state)
{
	(void)state;
	assert_int_equal(in_child(no_inet), 0);
	assert_int_equal(in_child(collect), 0);
}

static void
a_daemon_works_and_an_attack_dies(void **state)
{
	(void)state;
	assert_int_equal(in_child(daemon_profile), 0);
	assert_int_equal(in_child(traces), 1000 + SIGSYS);
}

static void
without_a_filter_there_is_no_sandbox(void **state)
{
	(void)state;
	assert_int_equal(in_child(no_second_filter), 0);
}

static void
nobody_reads_our_memory(void **state)
{
	(void)state;
	assert_int_equal(in_child(not_dumpable), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_judge_has_memory_and_its_descriptors),
		cmocka_unit_test(who_shows_a_page_takes_connections_and_makes_none),
		cmocka_unit_test(a_daemon_without_network_has_unix_sockets_only),
		cmocka_unit_test(a_daemon_works_and_an_attack_dies),
		cmocka_unit_test(without_a_filter_there_is_no_sandbox),
		cmocka_unit_test(nobody_reads_our_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
