/* The worker's job: what it is not handed rightly it does not touch. */
#include "updater/activate/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "tests/fakes/scratch.h"
#include "updater/activate/activate_wire.h"

#define HEX "0101010101010101010101010101010101010101010101010101010101010101"

struct job {
	unsigned type;
	unsigned n_fds;
	const char *hex;
	const char *reason; /* "" for none */
};

/* Give the worker this job in a folder with a tree; what it answers is compared. */
static void
check(const struct scratch *s, const struct job *j)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(frame_done) struct frame answer = { 0 };
	uint64_t before = refuse_count(REASON_MALFORMED);
	struct stat st;
	int fds[2], r;

	assert_int_equal(frame_pair(fds), 0);
	frame_begin(&out, (uint16_t)j->type, 7);
	for (unsigned i = 0; i < j->n_fds; i++)
		frame_put_fd(&out, s->fd);
	frame_put_text(&out, ACTIVATE_TAG_HEX, j->hex);
	assert_int_equal(frame_send_wait(fds[0], &out, 1000), 0);
	r = worker_main(fds[1]);
	assert_int_equal(frame_recv_wait(fds[0], &answer, 1000), 0);
	assert_int_equal(answer.id, 7);
	close(fds[0]);
	close(fds[1]);
	if (j->reason[0]) {
		assert_int_equal(r, 1);
		assert_int_equal(answer.type, ACTIVATE_TYPE_REFUSED);
		assert_string_equal(frame_text(&answer, ACTIVATE_TAG_REASON, 32), j->reason);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_int_equal(fstatat(s->fd, HEX, &st, 0), 0);
	} else {
		assert_int_equal(r, 0);
		assert_int_equal(answer.type, ACTIVATE_TYPE_DONE);
		assert_int_equal(fstatat(s->fd, HEX, &st, 0), -1);
	}
}

static void
only_a_whole_job_is_done(void **state)
{
	static const struct job rows[] = {
		{ ACTIVATE_TYPE_STAGE, 0, NULL, "malformed" },
		{ ACTIVATE_TYPE_STAGE, 2, NULL, "malformed" },
		{ ACTIVATE_TYPE_STAGE, 3, NULL, "malformed" },
		{ ACTIVATE_TYPE_REMOVE, 0, HEX, "malformed" },
		{ ACTIVATE_TYPE_REMOVE, 1, NULL, "malformed" },
		{ ACTIVATE_TYPE_REMOVE, 1, "0101", "malformed" },
		{ ACTIVATE_TYPE_REMOVE, 1,
			"../010101010101010101010101010101010101010101010101010101010101010",
			"malformed" },
		{ ACTIVATE_TYPE_DONE, 1, HEX, "malformed" },
		{ 77, 0, NULL, "malformed" },
		{ ACTIVATE_TYPE_REMOVE, 1, HEX, "" },
	};
	struct scratch s;

	(void)state;
	scratch_make(&s);
	assert_int_equal(mkdirat(s.fd, HEX, 0755), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&s, &rows[i]);
	scratch_remove(&s);
}

static void
on_alarm(int sig)
{
	(void)sig; /* ends what waits */
}

/* The store is everybody's to look at: a lock on it, which takes no more than that, holds up nothing. */
static void
a_lock_on_the_folder_holds_nobody_up(void **state)
{
	const struct sigaction act = { .sa_handler = on_alarm };
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(frame_done) struct frame answer = { 0 };
	SCOPED(scope_close) int locked = -1;
	struct scratch s;
	int fds[2];

	(void)state;
	scratch_make(&s);
	locked = open(s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(locked, LOCK_EX), 0);
	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	assert_int_equal(frame_pair(fds), 0);
	frame_begin(&out, ACTIVATE_TYPE_STAGE, 7);
	for (unsigned i = 0; i < 4; i++)
		frame_put_fd(&out, s.fd);
	assert_int_equal(frame_send_wait(fds[0], &out, 1000), 0);
	(void)alarm(5);
	assert_int_equal(worker_main(fds[1]), 1);
	(void)alarm(0);
	assert_int_equal(frame_recv_wait(fds[0], &answer, 1000), 0);
	assert_int_equal(answer.type, ACTIVATE_TYPE_REFUSED); /* a folder is no index: it came so far */
	close(fds[0]);
	close(fds[1]);
	scratch_remove(&s);
}

static void
a_monitor_that_leaves_ends_it(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(frame_pair(fds), 0);
	close(fds[0]);
	assert_int_not_equal(worker_main(fds[1]), 0);
	close(fds[1]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_whole_job_is_done),
		cmocka_unit_test(a_lock_on_the_folder_holds_nobody_up),
		cmocka_unit_test(a_monitor_that_leaves_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
