/* bubblewrap itself at sandbox_gate(): it waits, whoever ends, until it is let go. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/service/sandbox.h"

enum { GATE_FD = 10, INFO_FD = 11, SILENCE_MS = 400, PATIENCE_MS = 10000 };

/* bubblewrap, which waits at the gate and then says one word. */
static pid_t
wait_inside(int gate, int *ret_out, pid_t *ret_inside)
{
	char text[256] = "";
	int out[2], info[2];
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(info, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(out[1], STDOUT_FILENO);
		(void)dup2(gate, GATE_FD);
		(void)dup2(info[1], INFO_FD);
		(void)execl(SANDBOX_PROGRAM, "bwrap", "--die-with-parent", "--unshare-pid", "--ro-bind", "/", "/", "--proc",
			"/proc", "--info-fd", "11", "--block-fd", "10", "/bin/echo", "begun", (char *)NULL);
		_exit(127);
	}
	(void)close(out[1]);
	(void)close(info[1]);
	for (size_t n = 0; sandbox_child_pid(text) == 0; n++)
		assert_true(n < sizeof(text) - 1 && read(info[0], text + n, 1) == 1);
	(void)close(info[0]);
	*ret_inside = sandbox_child_pid(text);
	*ret_out = out[0];
	return pid;
}

static bool
says_something(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char word[8];

	return poll(&p, 1, ms) == 1 && read(fd, word, sizeof(word)) > 0;
}

static void
it_begins_when_it_is_let_go(void **state)
{
	int gate, out, status;
	pid_t pid, inside;

	(void)state;
	if (access(SANDBOX_PROGRAM, X_OK) != 0)
		skip();
	assert_int_equal(sandbox_gate(&gate), 0);
	pid = wait_inside(gate, &out, &inside);
	assert_false(says_something(out, SILENCE_MS));
	assert_int_equal(sandbox_go(gate), 0);
	assert_true(says_something(out, PATIENCE_MS));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(gate);
	(void)close(out);
}

static void
it_does_not_begin_when_whoever_held_the_gate_ends(void **state)
{
	int gate, out, status;
	pid_t pid, inside;

	(void)state;
	if (access(SANDBOX_PROGRAM, X_OK) != 0)
		skip();
	assert_int_equal(sandbox_gate(&gate), 0);
	pid = wait_inside(gate, &out, &inside);
	(void)close(gate);
	assert_false(says_something(out, SILENCE_MS));
	assert_int_equal(kill(inside, SIGKILL), 0); /* bubblewrap ends with it */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_not_equal(status, 0);
	(void)close(out);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_when_it_is_let_go),
		cmocka_unit_test(it_does_not_begin_when_whoever_held_the_gate_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
