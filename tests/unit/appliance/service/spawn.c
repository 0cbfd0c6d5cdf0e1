/* A spawner whose supervisor says nothing. */
#include "appliance/service/spawn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
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

static void
a_supervisor_that_does_not_answer(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	uint64_t before = refuse_count(REASON_UNREACHABLE);
	int result = NOT_DONE, fd, run;
	struct spawner *spawner;
	struct scratch s;
	struct paths paths;
	char path[300];

	(void)state;
	scratch_make(&s);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/supervise.sock", paths.run);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(spawn_supervise_new(&spawner, loop, &paths), 0);
	assert_int_equal(spawn_stop_shim(spawner, "redis", on_done, &result), 0);
	for (int i = 0; i < 200 && result == NOT_DONE; i++)
		(void)sd_event_run(loop, 20000);
	assert_int_equal(result, REASON_UNREACHABLE);
	assert_int_equal(refuse_last()->reason, REASON_UNREACHABLE);
	assert_string_equal(refuse_last()->operand, "mainstay-supervise");
	assert_int_equal(refuse_count(REASON_UNREACHABLE), before + 1);
	spawn_free(spawner);
	close(fd);
	close(run);
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_supervisor_that_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
