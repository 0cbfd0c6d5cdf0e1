#include "appliance/loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/loop/program.h"

/* Timers that find no memory. */
static bool no_memory;

int
sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec, uint64_t accuracy,
	sd_event_time_handler_t fn, void *arg)
{
	uint64_t now;
	int r = no_memory ? -ENOMEM : sd_event_now(e, clock, &now);

	return r < 0 ? r : sd_event_add_time(e, ret, clock, now + usec, accuracy, fn, arg);
}

struct fixture {
	sd_event *loop;
	struct loop_timer *timer, *other;
	struct loop_watch *watch;
	int ran, fd;
};

static void
end(void *arg)
{
	struct fixture *f = arg;

	(void)sd_event_exit(f->loop, 7);
}

static void
again(void *arg)
{
	struct fixture *f = arg;

	assert_null(f->timer); /* forgotten before we run */
	if (++f->ran == 3)
		(void)sd_event_exit(f->loop, 3);
	else
		assert_int_equal(loop_after(&f->timer, f->loop, 1, again, f), 0);
}

static void
count(void *arg)
{
	++*(int *)arg;
}

static void
fail_now(void *arg)
{
	(void)arg;
	fail();
}

/* Some are there before they are needed, and again when they were. */
static void
a_timer_is_there_where_there_is_no_memory(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL, *other = NULL;
	struct loop_timer *slots[32] = { NULL };
	struct fixture f = { 0 };
	size_t n = 0;
	int ran = 0;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(loop_new(&other, NULL, NULL), 0);
	no_memory = true;
	f.loop = other;
	assert_int_equal(loop_after(&f.timer, other, 0, again, &f), 0);
	assert_int_equal(loop_run(other), 3);
	while (n < 32 && loop_after(&slots[n], loop, n, count, &ran) == 0)
		n++;
	assert_in_range(n, 4, 31);
	loop_cancel(slots[0]);
	assert_null(slots[0]);
	assert_int_equal(loop_after(&slots[0], loop, 1, count, &ran), 0);
	assert_int_equal(loop_after(&slots[n], loop, 1, count, &ran), -ENOMEM);
	while (ran < (int)n)
		assert_true(sd_event_run(loop, 10000000) >= 0);
	for (size_t i = 0; i < n; i++)
		assert_null(slots[i]);
	assert_int_equal(loop_after(&slots[0], loop, 0, fail_now, NULL), 0);
	loop = sd_event_unref(loop); /* whoever waits keeps it */
	loop_cancel(slots[0]);
	no_memory = false;
}

static void
a_timer_runs_once_and_may_start_itself_again(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	f.loop = loop;
	assert_int_equal(loop_after(&f.timer, loop, 0, again, &f), 0);
	assert_int_equal(f.ran, 0);
	assert_int_equal(loop_run(loop), 3);
	assert_null(f.timer);
}

static void
a_cancelled_or_replaced_timer_does_not_run(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	f.loop = loop;
	assert_int_equal(loop_after(&f.timer, loop, 1, fail_now, &f), 0);
	assert_null(loop_cancel(f.timer));
	assert_null(f.timer);
	assert_null(loop_cancel(NULL));
	assert_int_equal(loop_after(&f.other, loop, 1, fail_now, &f), 0);
	assert_int_equal(loop_after(&f.other, loop, 10, end, &f), 0);
	assert_int_equal(loop_run(loop), 7);
	assert_true(loop_after(&f.other, loop, UINT64_MAX, end, &f) < 0);
	assert_null(f.other);
}

static void
on_byte(uint32_t revents, void *arg)
{
	struct fixture *f = arg;
	char c;

	assert_true(revents & EPOLLIN);
	assert_int_equal(read(f->fd, &c, 1), 1);
	if (c == 'a') {
		assert_int_equal(loop_watch_events(f->watch, EPOLLIN), 0);
		return;
	}
	loop_unwatch(f->watch);
	assert_null(f->watch);
	(void)sd_event_exit(f->loop, 0);
}

static void
a_watch_tells_until_it_is_ended(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct fixture f = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	f.loop = loop;
	f.fd = fds[0];
	assert_int_equal(loop_watch(&f.watch, loop, fds[0], EPOLLIN, on_byte, &f), 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(loop_watch(&f.watch, loop, -1, EPOLLIN, on_byte, &f) < 0, 1);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
send_term(void *arg)
{
	(void)arg;
	assert_int_equal(kill(getpid(), SIGTERM), 0);
}

static void
sigterm_ends_the_loop_or_runs_stop(void **state)
{
	SCOPED(loop_unrefp) sd_event *plain = NULL, *own = NULL;
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(loop_new(&plain, NULL, NULL), 0);
	assert_int_equal(loop_after(&f.timer, plain, 0, send_term, &f), 0);
	assert_int_equal(loop_run(plain), 0);
	plain = sd_event_unref(plain);
	assert_int_equal(loop_new(&own, end, &f), 0);
	f.loop = own;
	assert_int_equal(loop_after(&f.timer, own, 0, send_term, &f), 0);
	assert_int_equal(loop_run(own), 7);
}

static void
on_late(void *arg)
{
	(void)sd_event_exit(arg, 7);
}

/* A daemon that says it is ready, to a supervisor that reads it or has died: how its loop ends. */
static int
loop_of_a_daemon(bool read)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct loop_timer *late = NULL;
		sd_event *loop = NULL;
		int fds[2];

		if (pipe(fds) < 0 || dup2(fds[0], 20) < 0 || dup2(fds[1], 21) < 0)
			_exit(1);
		for (int fd = 3; fd < 20; fd++)
			(void)close(fd);
		if (dup2(21, 3) < 0 || close(21) < 0 || (!read && close(20) < 0))
			_exit(1);
		(void)unsetenv("NOTIFY_SOCKET");
		if (loop_new(&loop, NULL, NULL) < 0 || loop_after(&late, loop, 100, on_late, loop) < 0)
			_exit(1);
		program_ready();
		_exit(loop_run(loop));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Whoever started it may not have lived to write it down: nobody would know of it. */
static void
readiness_that_nobody_reads_ends_a_daemon(void **state)
{
	(void)state;
	assert_int_equal(loop_of_a_daemon(true), 7);
	assert_int_equal(loop_of_a_daemon(false), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_runs_once_and_may_start_itself_again),
		cmocka_unit_test(a_timer_is_there_where_there_is_no_memory),
		cmocka_unit_test(a_cancelled_or_replaced_timer_does_not_run),
		cmocka_unit_test(a_watch_tells_until_it_is_ended),
		cmocka_unit_test(sigterm_ends_the_loop_or_runs_stop),
		cmocka_unit_test(readiness_that_nobody_reads_ends_a_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
