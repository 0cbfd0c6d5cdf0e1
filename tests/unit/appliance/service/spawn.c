/* A spawner whose supervisor says nothing. */
#include "appliance/service/spawn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "tests/fakes/scratch.h"

enum { NOT_DONE = -12345, HURRY = 100 };

/* In place of the library's: timers of this program run a hundred times as fast. */
int
sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
	uint64_t accuracy, sd_event_time_handler_t fn, void *arg)
{
	uint64_t now;
	int r = sd_event_now(e, clock, &now);

	return r < 0 ? r : sd_event_add_time(e, ret, clock, now + usec / HURRY, accuracy, fn, arg);
}

static void
on_done(int r, pid_t pid, void *arg)
{
	assert_int_equal(pid, 0);
	*(int *)arg = r;
}

/* A stop can be asked for again; a worker may run, and nobody knows. */
static int
ask_to_stop(struct spawner *s, int *result)
{
	return spawn_stop_shim(s, "redis", on_done, result);
}

static int
ask_for_worker(struct spawner *s, int *result)
{
	return spawn_worker(s, SPAWN_OPERATE, NULL, open("/dev/null", O_RDONLY | O_CLOEXEC), on_done, result);
}

static const struct {
	int (*ask)(struct spawner *s, int *result);
	bool listens, closes; /* the supervisor */
	enum reason want;
} silences[] = {
	{ ask_to_stop, true, false, REASON_UNREACHABLE },
	{ ask_to_stop, true, true, REASON_UNREACHABLE },
	{ ask_to_stop, false, false, REASON_UNREACHABLE },
	{ ask_for_worker, true, false, REASON_INTERRUPTED },
	{ ask_for_worker, true, true, REASON_INTERRUPTED },
	{ ask_for_worker, false, false, REASON_UNREACHABLE }, /* it was never told */
};

static void
on_peer(int take_fd, const struct frame_peer *peer, void *arg)
{
	(void)peer;
	*(int *)arg = take_fd;
}

/* What it was asked is there; it goes away without a word. */
static void
hang_up(int *peer)
{
	char byte;

	if (*peer >= 0 && recv(*peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
		close(*peer);
		*peer = -1;
	}
}

static void
silence(size_t row)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	uint64_t before = refuse_count(silences[row].want);
	int result = NOT_DONE, fd, run, peer = -1;
	struct frame_server *server = NULL;
	struct spawner *spawner;
	struct scratch s;
	struct paths paths;
	char path[300];

	scratch_make(&s);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/supervise.sock", paths.run);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	if (silences[row].listens) {
		assert_int_equal(frame_listen(&fd, path, 0600), 0);
		assert_int_equal(frame_server_open(&server, loop, fd, on_peer, &peer), 0);
	}
	assert_int_equal(spawn_supervise_new(&spawner, loop, &paths), 0);
	assert_int_equal(silences[row].ask(spawner, &result), 0);
	for (int i = 0; i < 400 && result == NOT_DONE; i++) {
		(void)sd_event_run(loop, 20000);
		if (silences[row].closes)
			hang_up(&peer);
	}
	assert_int_equal(result, silences[row].want);
	assert_int_equal(refuse_last()->reason, silences[row].want);
	assert_string_equal(refuse_last()->operand, "mainstay-supervise");
	assert_int_equal(refuse_count(silences[row].want), before + 1);
	spawn_free(spawner);
	if (server)
		frame_server_close(server);
	if (peer >= 0)
		close(peer);
	close(run);
	scratch_remove(&s);
}

static void
a_supervisor_that_does_not_answer(void **state)
{
	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(silences); row++)
		silence(row);
}

/* Gone before it was asked, which shows when it is: the next supervisor is asked. */
static void
a_supervisor_that_was_gone_before(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	int result = NOT_DONE, fd, run, peer = -1;
	struct frame_server *server = NULL;
	struct spawner *spawner;
	struct scratch s;
	struct paths paths;
	char path[300], byte;

	(void)state;
	scratch_make(&s);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/supervise.sock", paths.run);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(frame_server_open(&server, loop, fd, on_peer, &peer), 0);
	assert_int_equal(spawn_supervise_new(&spawner, loop, &paths), 0);
	for (int i = 0; i < 100 && peer < 0; i++)
		(void)sd_event_run(loop, 20000);
	close(peer);
	peer = -1;
	assert_int_equal(ask_for_worker(spawner, &result), 0);
	for (int i = 0; i < 100 && result == NOT_DONE && (peer < 0 || recv(peer, &byte, 1, MSG_DONTWAIT) != 1); i++)
		(void)sd_event_run(loop, 20000);
	assert_int_equal(result, NOT_DONE);
	assert_true(peer >= 0);
	spawn_free(spawner);
	frame_server_close(server);
	close(peer);
	close(run);
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_supervisor_that_does_not_answer),
		cmocka_unit_test(a_supervisor_that_was_gone_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
