/* A service's log, in a folder that the service owns. */
#include "appliance/supervise/logfile.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/sandbox.h"
#include "tests/fakes/scratch.h"

enum { MAX = 1000 };

static struct scratch s;

static void
on_alarm(int sig)
{
	(void)sig; /* ends what waits */
}

static int
setup(void **state)
{
	const struct sigaction act = { .sa_handler = on_alarm };

	(void)state;
	scratch_make(&s);
	(void)alarm(5);
	return sigaction(SIGALRM, &act, NULL);
}

static int
teardown(void **state)
{
	(void)state;
	(void)alarm(0);
	scratch_remove(&s);
	return 0;
}

static off_t
size_of(const char *name)
{
	struct stat st;

	return fstatat(s.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : -1;
}

static void
write_log(size_t len)
{
	SCOPED(scope_close) int fd = -1;
	char text[4 * MAX];

	memset(text, 'x', sizeof(text));
	assert_int_equal(logfile_open(&fd, s.path, "web"), 0);
	assert_int_equal(write(fd, text, len), len);
}

static void
a_long_one_is_set_aside_whole(void **state)
{
	(void)state;
	write_log(MAX);
	assert_int_equal(logfile_bound(s.path, "web", MAX), 0);
	assert_int_equal(size_of("web.log"), MAX);
	write_log(10);
	assert_int_equal(logfile_bound(s.path, "web", MAX), 0);
	assert_int_equal(size_of("web.log"), 0);
	assert_int_equal(size_of("web.log.1"), MAX + 10);
}

/* A hole of a terabyte costs the service nothing; copied, it would fill the disk. */
static void
of_a_huge_one_only_the_end_is_kept(void **state)
{
	SCOPED(scope_close) int fd = -1;

	(void)state;
	assert_int_equal(logfile_open(&fd, s.path, "web"), 0);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	write_log(3);
	assert_int_equal(logfile_bound(s.path, "web", MAX), 0);
	assert_int_equal(size_of("web.log"), 0);
	assert_int_equal(size_of("web.log.1"), MAX);
}

static void
a_pipe_in_the_copy_s_place_holds_nobody(void **state)
{
	(void)state;
	assert_int_equal(mkfifoat(s.fd, ".tmp.web.log", 0600), 0);
	write_log(MAX + 1);
	assert_int_equal(logfile_bound(s.path, "web", MAX), 0);
	assert_int_equal(size_of("web.log"), 0);
	assert_int_equal(size_of("web.log.1"), MAX + 1);
}

static bool
writes(pid_t pid)
{
	char path[32];
	struct stat st, log;

	(void)snprintf(path, sizeof(path), "/proc/%ld/fd/1", (long)pid);
	return stat(path, &st) == 0 && fstatat(s.fd, "web.log", &log, 0) == 0 &&
		st.st_ino == log.st_ino && st.st_dev == log.st_dev;
}

/* Whoever has the service's output holds it, be the one who claimed it long gone. */
static void
what_still_writes_is_not_started_again(void **state)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(scope_close) int again = -1;
	uint64_t before = refuse_count(REASON_BUSY);
	char want[32];
	pid_t pid;

	(void)state;
	assert_int_equal(logfile_claim(&fd, s.path, "web"), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(fd, STDOUT_FILENO);
		(void)pause();
		_exit(0);
	}
	(void)close(fd);
	fd = -1;
	while (!writes(pid))
		continue;
	assert_int_equal(logfile_claim(&again, s.path, "web"), REASON_BUSY);
	assert_int_equal(again, -1);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	(void)snprintf(want, sizeof(want), "`kill %ld`", (long)pid);
	assert_non_null(strstr(refuse_last()->text, want));
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(logfile_claim(&again, s.path, "web"), 0);
}

/* Bubblewrap, at a gate that nobody opens any more. */
static pid_t
begin_and_leave(int log)
{
	int gate;
	pid_t pid;

	assert_int_equal(sandbox_gate(&gate), 0);
	pid = fork();
	if (pid == 0) {
		char number[16];

		(void)setpgid(0, 0);
		(void)dup2(log, STDOUT_FILENO);
		(void)fcntl(gate, F_SETFD, 0);
		(void)snprintf(number, sizeof(number), "%d", gate);
		(void)execl(SANDBOX_PROGRAM, "bwrap", "--unshare-pid", "--as-pid-1", "--ro-bind", "/", "/", "--block-fd", number,
			"--", "/bin/sleep", "100", NULL);
		_exit(127);
	}
	(void)close(gate);
	return pid;
}

static void
what_waits_for_a_shim_that_was_killed_is_ended(void **state)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(scope_close) int again = -1;
	pid_t box;
	int r;

	(void)state;
	if (access(SANDBOX_PROGRAM, X_OK) < 0)
		skip();
	assert_int_equal(logfile_claim(&fd, s.path, "web"), 0);
	box = begin_and_leave(fd);
	(void)close(fd);
	fd = -1;
	for (int i = 0; i < 400 && (r = logfile_claim(&again, s.path, "web")) == REASON_BUSY; i++)
		(void)usleep(10 * 1000);
	if (r != 0)
		(void)kill(-box, SIGKILL);
	assert_int_equal(r, 0);
	assert_int_equal(waitpid(box, NULL, 0), box);
}

/* Who has it open, but not as its output, is not known by number: no advice to kill 0, which is everybody. */
static void
who_is_not_known_is_not_killed(void **state)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(scope_close) int again = -1;

	(void)state;
	assert_int_equal(logfile_claim(&fd, s.path, "web"), 0);
	assert_int_equal(logfile_claim(&again, s.path, "web"), REASON_BUSY);
	assert_int_equal(again, -1);
	assert_null(strstr(refuse_last()->text, "kill"));
	assert_non_null(strstr(refuse_last()->text, "/web.log open"));
}

static const struct {
	const char *says, *text;
	size_t len, size;
	const char *want;
} tails[] = {
	{ "all of a short one, as one line", "one\ntwo\n", 8, 64, "one | two" },
	{ "of a long one whole lines from its end", "much earlier line\nlast\n", 23, 32, "last" },
	{ "of one long line its end", "0123456789abcdef", 16, 16, "89abcdef" },
	{ "nothing that a terminal would obey", "a\033[2Jb\xff\tc\n", 9, 64, "a?[2Jb??c" },
	{ "an empty one has none", "", 0, 64, "" },
};

static void
the_last_lines_are_told(void **state)
{
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		scratch_put(&s, "web.log", tails[i].text, tails[i].len);
		logfile_tail(out, tails[i].size, s.path, "web");
		if (strcmp(out, tails[i].want))
			fail_msg("%s: %s", tails[i].says, out);
		assert_int_equal(logfile_size(s.path, "web"), tails[i].len);
	}
	/* What the service put in its place is not read. */
	assert_int_equal(unlinkat(s.fd, "web.log", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", s.fd, "web.log"), 0);
	logfile_tail(out, sizeof(out), s.path, "web");
	assert_string_equal(out, "");
	assert_int_equal(logfile_size(s.path, "web"), 0);
	assert_int_equal(unlinkat(s.fd, "web.log", 0), 0);
	assert_int_equal(mkfifoat(s.fd, "web.log", 0600), 0);
	logfile_tail(out, sizeof(out), s.path, "web");
	assert_string_equal(out, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_lines_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_one_is_set_aside_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(of_a_huge_one_only_the_end_is_kept, setup,
			teardown),
		cmocka_unit_test_setup_teardown(what_still_writes_is_not_started_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_waits_for_a_shim_that_was_killed_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_not_known_is_not_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pipe_in_the_copy_s_place_holds_nobody, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
