#include "appliance/loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/wait.h>

#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "tests/fakes/scratch.h"

static int sh_fd = -1;

static int
open_shell(void **state)
{
	(void)state;
	sh_fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	return sh_fd < 0 ? -1 : 0;
}

static int
close_shell(void **state)
{
	(void)state;
	return close(sh_fd);
}

/* Run a script with this specification; keep what it wrote.  Returns the wait status. */
static int
run(struct child_spec *spec, const char *script, char *out, size_t size)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	SCOPED(scope_close) int pidfd = -1;
	struct child child;
	int fds[2], status = -1;
	ssize_t n, len = 0;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	spec->exe_fd = sh_fd;
	spec->argv = argv;
	spec->fds[spec->n_fds++] = (struct child_fd){ fds[1], 1 };
	assert_int_equal(child_spawn(&child, spec, NULL), 0);
	pidfd = child.pidfd;
	assert_true(child.starttime > 0);
	(void)close(fds[1]);
	while ((n = read(fds[0], out + len, size - 1 - (size_t)len)) > 0)
		len += n;
	out[len] = '\0';
	(void)close(fds[0]);
	assert_int_equal(child_wait(&child, 10000, &status), 0);
	assert_false(child_alive(child.pid, child.starttime));
	return status;
}

/* The ignored signals, but for 32 and 33: they are libc's own, nobody can set them, and some parents hand one of
 * them or both down ignored. */
static unsigned long long
ignored(const char *status)
{
	const char *at = strstr(status, "SigIgn:\t");

	assert_non_null(at);
	return strtoull(at + strlen("SigIgn:\t"), NULL, 16) & ~0x180000000ULL;
}

static void
a_child_has_nothing_it_was_not_given(void **state)
{
	struct child_spec spec = CHILD_SPEC;
	char out[1000], text[100];
	int secret = open("/dev/null", O_RDONLY); /* without CLOEXEC, as a careless library does */

	(void)state;
	assert_true(secret >= 0);
	assert_int_equal(setenv("SECRET", "x", 1), 0);
	assert_int_equal(run(&spec,
				 "for i in 3 4 5 6 7 8 9 10 62 63 64 65 66 67 68; do [ -e "
				 "/proc/$$/fd/$i ] && echo open $i; done; "
				 "echo ${SECRET-unset}; pwd; umask; "
				 "grep -E 'NoNewPrivs|SigBlk|SigIgn' /proc/self/status; ulimit -c",
				 out, sizeof(out)),
		0);
	(void)snprintf(text, sizeof(text), "unset\n/\n0077\n");
	if (strncmp(out, text, strlen(text)) != 0 || !strstr(out, "NoNewPrivs:\t1") ||
		!strstr(out, "SigBlk:\t0000000000000000") ||
		ignored(out) != 0 ||
		strcmp(out + strlen(out) - 2, "0\n") != 0)
		fail_msg("%s", out);
	(void)close(secret);
}

static void
descriptors_are_dealt_even_where_numbers_cross(void **state)
{
	struct child_spec spec = CHILD_SPEC;
	int a[2], b[2];
	char out[1000], script[100];

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "A\n", 2), 2);
	assert_int_equal(write(b[1], "B\n", 2), 2);
	spec.fds[0] = (struct child_fd){ a[0], b[0] };
	spec.fds[1] = (struct child_fd){ b[0], a[0] };
	spec.n_fds = 2;
	if (a[0] > 9 || b[0] > 9)
		skip(); /* the shell reads one digit only */
	(void)snprintf(script, sizeof(script), "read x <&%d; read y <&%d; echo $x$y", a[0], b[0]);
	assert_int_equal(run(&spec, script, out, sizeof(out)), 0);
	assert_string_equal(out, "BA\n");
	(void)close(a[0]), (void)close(a[1]), (void)close(b[0]), (void)close(b[1]);
}

static void
limits_environment_and_session_are_set(void **state)
{
	static const char *const envp[] = { "A=b", NULL };
	struct child_spec spec = CHILD_SPEC;
	SCOPED(scope_close) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char out[1000];

	(void)state;
	spec.envp = envp;
	spec.limits[0] = (struct child_limit){ RLIMIT_NOFILE, 40, 40 };
	spec.n_limits = 1;
	spec.new_session = true;
	spec.cwd_fd = tmp;
	spec.umask = 027;
	spec.oom_score_adj = 500;
	assert_int_equal(run(&spec,
				 "echo $A; ulimit -n; pwd; umask; cat /proc/self/oom_score_adj; "
				 "[ $(cut -d' ' -f6 /proc/self/stat) = $$ ] && echo leader; exit 3",
				 out, sizeof(out)),
		3 << 8);
	assert_string_equal(out, "b\n40\n/tmp\n0027\n500\nleader\n");
}

static void
ids_are_dropped_for_good(void **state)
{
	struct child_spec spec = CHILD_SPEC;
	char out[1000];

	(void)state;
	if (geteuid() != 0)
		skip();
	spec.uid = 61184;
	spec.gid = 61185;
	spec.groups[0] = 61186;
	spec.n_groups = 1;
	spec.unshare = CLONE_NEWNET;
	spec.parent_death_signal = SIGKILL;
	assert_int_equal(run(&spec,
				 "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status | tr -s ' "
				 "\\t' ' '; "
				 "grep -c : /proc/net/dev",
				 out, sizeof(out)),
		0);
	assert_string_equal(out,
		"Uid: 61184 61184 61184 61184\nGid: 61185 61185 61185 61185\nGroups: 61186 \n"
		"CapEff: 0000000000000000\n1\n");
}

static int
fail_setup(void *arg)
{
	return *(int *)arg;
}

static void
a_setup_that_fails_names_its_step(void **state)
{
	const char *argv[] = { "x", NULL };
	struct child_spec spec = CHILD_SPEC;
	struct child child = { .pid = -7 };
	const char *step = NULL;
	int error = -EXDEV;
	SCOPED(scope_close) int text = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	(void)state;
	spec.argv = argv;
	spec.exe_fd = text; /* no program */
	assert_true(child_spawn(&child, &spec, &step) < 0);
	assert_string_equal(step, "exec");
	spec.exe_fd = sh_fd;
	spec.setup = fail_setup;
	spec.setup_arg = &error;
	assert_int_equal(child_spawn(&child, &spec, &step), -EXDEV);
	assert_string_equal(step, "setup");
	spec.setup = NULL;
	spec.limits[0] = (struct child_limit){ 4711, 1, 1 };
	spec.n_limits = 1;
	assert_int_equal(child_spawn(&child, &spec, &step), -EINVAL);
	assert_string_equal(step, "limits");
	spec.n_limits = 0;
	spec.exe_fd = -1;
	assert_int_equal(child_spawn(&child, &spec, &step), -EINVAL);
	assert_null(step);
	assert_int_equal(child.pid, -7);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left */
	assert_int_equal(errno, ECHILD);
}

/* A child that is to say "ran" on out, and waits. */
static struct child
waiting(struct child_hold *hold, int out)
{
	const char *argv[] = { "sh", "-c", "echo ran; exit 3", NULL };
	struct child_spec spec = CHILD_SPEC;
	struct child child;

	spec.argv = argv;
	spec.exe_fd = sh_fd;
	spec.hold = hold;
	spec.fds[spec.n_fds++] = (struct child_fd){ out, 1 };
	assert_int_equal(child_spawn(&child, &spec, NULL), 0);
	return child;
}

static void
a_child_waits_for_its_release(void **state)
{
	struct child_hold hold;
	struct child child;
	char text[8] = "";
	int fds[2], status = -1;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	child = waiting(&hold, fds[1]);
	assert_int_equal(read(fds[0], text, sizeof(text)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(child_wait(&child, 0, &status), REASON_BUSY);
	assert_int_equal(child_release(&hold, &child, NULL), 0);
	assert_int_equal(child_wait(&child, 10000, &status), 0);
	assert_int_equal(status, 3 << 8);
	assert_int_equal(read(fds[0], text, sizeof(text)), 4);
	(void)close(child.pidfd);
	/* Killed before: a child that has ended. */
	child = waiting(&hold, fds[1]);
	assert_int_equal(child_signal(child.pidfd, SIGKILL), 0);
	assert_int_equal(child_release(&hold, &child, NULL), 0);
	assert_int_equal(child_wait(&child, 10000, &status), 0);
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], text, sizeof(text)), 0);
	(void)close(child.pidfd);
	(void)close(fds[0]);
}

static void
a_child_that_waits_and_is_no_program_says_so_at_its_release(void **state)
{
	const char *argv[] = { "x", NULL };
	SCOPED(scope_close) int text = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	struct child_spec spec = CHILD_SPEC;
	struct child_hold hold;
	struct child child;
	const char *step = NULL;

	(void)state;
	spec.argv = argv;
	spec.exe_fd = text;
	spec.hold = &hold;
	assert_int_equal(child_spawn(&child, &spec, &step), 0);
	assert_true(child_release(&hold, &child, &step) < 0);
	assert_string_equal(step, "exec");
	(void)close(child.pidfd);
	spec.limits[0] = (struct child_limit){ 4711, 1, 1 };
	spec.n_limits = 1;
	assert_int_equal(child_spawn(&child, &spec, &step), -EINVAL);
	assert_string_equal(step, "limits");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* Its parent dies, and another process still holds the end that it waits at: it never executes its program. */
static void
a_child_that_waits_ends_with_its_parent(void **state)
{
	char text[8];
	int fds[2], held[2], status;
	pid_t parent;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(pipe2(held, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		struct child_hold hold;

		(void)waiting(&hold, fds[1]);
		if (fork() == 0) {
			(void)close(fds[1]);
			(void)close(held[1]);
			(void)!read(held[0], text, 1);
			_exit(0);
		}
		(void)raise(SIGKILL);
	}
	(void)close(fds[1]);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_int_equal(read(fds[0], text, sizeof(text)), 0);
	(void)close(held[1]);
	(void)close(held[0]);
	(void)close(fds[0]);
}

static int ended_status;

static void
on_end(pid_t pid, int status, void *arg)
{
	(void)pid;
	ended_status = status;
	(void)sd_event_exit(arg, 0);
}

static void
a_watch_tells_the_end(void **state)
{
	const char *argv[] = { "sh", "-c", "read x", NULL };
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct child_spec spec = CHILD_SPEC;
	struct child_watch *watch = NULL;
	struct child child, found;
	char text[64];
	int fds[2], status;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	spec.argv = argv;
	spec.exe_fd = sh_fd;
	spec.fds[0] = (struct child_fd){ fds[0], 0 };
	spec.n_fds = 1;
	assert_int_equal(child_spawn(&child, &spec, NULL), 0);
	assert_int_equal(child_wait(&child, 0, &status), REASON_BUSY);
	assert_int_equal(child_adopt(&found, child.pid, child.starttime), 0);
	(void)close(found.pidfd);
	assert_int_equal(child_adopt(&found, child.pid, child.starttime + 1), REASON_NOT_FOUND);
	assert_int_equal(child_watch(&watch, loop, &child, on_end, loop), 0);
	assert_int_equal(child_signal(child.pidfd, SIGKILL), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_null(watch);
	assert_true(WIFSIGNALED(ended_status) && WTERMSIG(ended_status) == SIGKILL);
	assert_string_equal(child_describe(text, sizeof(text), ended_status), "signal 9 (Killed)");
	assert_string_equal(child_describe(text, sizeof(text), 3 << 8), "exit 3");
	assert_string_equal(child_describe(text, sizeof(text), -1), "ended");
	assert_int_equal(child_signal(child.pidfd, SIGKILL), 0); /* gone is fine */
	assert_int_equal(child_adopt(&found, child.pid, child.starttime), REASON_NOT_FOUND);
	(void)close(child.pidfd);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
processes_are_known_by_their_start(void **state)
{
	uint64_t t = 0;

	(void)state;
	assert_int_equal(child_starttime(&t, getpid()), 0);
	assert_true(t > 0);
	assert_true(child_alive(getpid(), t));
	assert_false(child_alive(getpid(), t + 1));
	assert_false(child_alive(0, 0));
	assert_int_equal(child_starttime(&t, 0x3fffffff), REASON_NOT_FOUND);
}

static void
programs_lie_beside_the_running_one(void **state)
{
	int fd = -1;

	(void)state;
	assert_true(child_program(&fd, "no-such-program") < 0);
	assert_true(child_program(&fd, "../sh") < 0);
	assert_int_equal(fd, -1);
}

/* As /usr/bin/mainstay finds /usr/lib/mainstay/mainstay-supervise: this program, copied to D/bin, looks for it. */
static void
installed_programs_lie_in_lib_mainstay(void **state)
{
	const char *d = ((struct scratch *)*state)->path;
	struct child_spec spec = CHILD_SPEC;
	char script[1000], out[1000];

	(void)snprintf(script, sizeof(script),
		"export PATH=/usr/bin:/bin; mkdir -p %s/bin %s/lib/mainstay && cp /proc/%d/exe %s/bin/us &&"
		"%s/bin/us find there; echo $?; : > %s/lib/mainstay/there; %s/bin/us find there; echo $?;"
		"ln -s there %s/lib/mainstay/link; %s/bin/us find link; echo $?;"
		"%s/bin/us find ../lib/mainstay/there; echo $?",
		d, d, (int)getpid(), d, d, d, d, d, d, d);
	assert_int_equal(run(&spec, script, out, sizeof(out)), 0);
	assert_string_equal(out, "1\n0\n1\n1\n");
}

static int
find(const char *name)
{
	SCOPED(scope_close) int fd = -1;

	return child_program(&fd, name) == 0 && fd >= 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_has_nothing_it_was_not_given),
		cmocka_unit_test(descriptors_are_dealt_even_where_numbers_cross),
		cmocka_unit_test(limits_environment_and_session_are_set),
		cmocka_unit_test(ids_are_dropped_for_good),
		cmocka_unit_test(a_setup_that_fails_names_its_step),
		cmocka_unit_test(a_child_waits_for_its_release),
		cmocka_unit_test(a_child_that_waits_and_is_no_program_says_so_at_its_release),
		cmocka_unit_test(a_child_that_waits_ends_with_its_parent),
		cmocka_unit_test(a_watch_tells_the_end),
		cmocka_unit_test(processes_are_known_by_their_start),
		cmocka_unit_test(programs_lie_beside_the_running_one),
		cmocka_unit_test_setup_teardown(installed_programs_lie_in_lib_mainstay, scratch_setup, scratch_teardown),
	};

	if (argc == 3 && strcmp(argv[1], "find") == 0)
		return find(argv[2]);

	return cmocka_run_group_tests(tests, open_shell, close_shell);
}
