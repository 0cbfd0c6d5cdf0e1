#include "appliance/loop/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/epoll.h>

#include "appliance/base/clock.h"

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
fail_now(void *arg)
{
	(void)arg;
	fail();
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_runs_once_and_may_start_itself_again),
		cmocka_unit_test(a_cancelled_or_replaced_timer_does_not_run),
		cmocka_unit_test(a_watch_tells_until_it_is_ended),
		cmocka_unit_test(sigterm_ends_the_loop_or_runs_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
