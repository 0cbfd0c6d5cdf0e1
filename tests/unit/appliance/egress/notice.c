/* Who listens hears what is written, and knows when it does not. */
#include "appliance/egress/notice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fakes/scratch.h"

static struct scratch scratch;
static sd_event *loop;
static struct notice *notice;
static struct notice_ear ear, one, two, other, none; /* as long as the notice */

static int
set_up(void **state)
{
	(void)state;
	scratch_make(&scratch);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(notice_new(&notice, loop), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	notice = notice_free(notice);
	loop = sd_event_unref(loop);
	scratch_remove(&scratch);
	return 0;
}

/* Twice as long as is gathered, and a little. */
static void
turn(void)
{
	for (unsigned i = 0; i < 3; i++)
		assert_true(sd_event_run(loop, NOTICE_GATHER_MS * 1000) >= 0);
}

static void
count(void *arg)
{
	++*(unsigned *)arg;
}

static void
write_in(const char *name)
{
	int fd = openat(scratch.fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void
what_is_written_is_heard_once_for_all_that_came_together(void **state)
{
	unsigned n[3] = { 0 };

	(void)state;
	assert_int_equal(mkdirat(scratch.fd, "metrics", 0700), 0);
	assert_int_equal(mkdirat(scratch.fd, "logs", 0700), 0);
	notice_listen(notice, &one, scratch.path, "metrics", count, &n[0]);
	notice_listen(notice, &two, scratch.path, "metrics", count, &n[1]);
	notice_listen(notice, &other, scratch.path, "logs", count, &n[2]);
	assert_true(notice_hears(&one) && one.of_stream && notice_hears(&two) && notice_hears(&other));
	turn();
	assert_int_equal(n[0] + n[1] + n[2], 0);
	for (unsigned i = 0; i < 20; i++)
		write_in("metrics/a");
	turn();
	assert_int_equal(n[0], 1);
	assert_int_equal(n[1], 1);
	assert_int_equal(n[2], 0);
	notice_deafen(&one);
	assert_false(notice_hears(&one));
	write_in("metrics/a");
	turn();
	assert_int_equal(n[0], 1);
	assert_int_equal(n[1], 2);
}

static void
a_folder_that_is_made_later_is_heard_of(void **state)
{
	unsigned n = 0;

	(void)state;
	notice_listen(notice, &ear, scratch.path, "metrics", count, &n);
	assert_true(notice_hears(&ear) && !ear.of_stream);
	assert_int_equal(mkdirat(scratch.fd, "metrics", 0700), 0);
	turn();
	assert_int_equal(n, 1);
	notice_listen(notice, &ear, scratch.path, "metrics", count, &n);
	assert_true(ear.of_stream);
	write_in("metrics/a");
	turn();
	assert_int_equal(n, 2);
}

static void
who_cannot_hear_knows_it(void **state)
{
	unsigned n = 0;
	char path[300];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none", scratch.path);
	notice_listen(notice, &ear, path, "metrics", count, &n);
	assert_false(notice_hears(&ear));
	notice_listen(NULL, &none, scratch.path, "metrics", count, &n);
	assert_false(notice_hears(&none));
	assert_int_equal(mkdirat(scratch.fd, "metrics", 0700), 0);
	notice_listen(notice, &ear, scratch.path, "metrics", count, &n);
	assert_true(notice_hears(&ear));
	assert_int_equal(unlinkat(scratch.fd, "metrics", AT_REMOVEDIR), 0);
	turn();
	assert_int_equal(n, 1); /* to look, and to listen anew */
	assert_false(notice_hears(&ear));
	notice = notice_free(notice);
	assert_false(notice_hears(&ear));
	notice_deafen(&ear);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_is_written_is_heard_once_for_all_that_came_together),
		T(a_folder_that_is_made_later_is_heard_of),
		T(who_cannot_hear_knows_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
