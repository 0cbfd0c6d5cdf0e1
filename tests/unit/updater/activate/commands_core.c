/* Following a change of the core from outside, while the monitor that is asked goes and comes. */
#include "updater/activate/commands_core.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

#define IDLE "{\"core\":{\"slot\":\"b\",\"version\":\"2\"}}"
#define BUSY "{\"core\":{\"change\":{\"step\":\"trial\"},\"slot\":\"a\",\"version\":\"1\"}}"
#define REDIS "{\"service\":\"redis\",\"outcome\":\"good\",\"reason\":\"\",\"text\":\"\"}"
#define CORE(outcome, reason, text)                                                                                    \
	"{\"service\":\"mainstay\",\"outcome\":\"" outcome "\",\"reason\":\"" reason "\",\"text\":\"" text "\"}"

enum { WAIT_MS = 5000 };

struct fixture {
	struct scratch s;
	struct command_call call;
	pid_t peer; /* 0: none */
};

static int
set_up(void **state)
{
	static const struct command_program program = { .name = "mainstay" };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	scratch_make(&f->s);
	f->call = (struct command_call){ .program = &program, .json = true };
	(void)snprintf(f->call.paths.run, sizeof(f->call.paths.run), "%s", f->s.path);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->peer > 0) {
		(void)kill(f->peer, SIGKILL);
		(void)waitpid(f->peer, NULL, 0);
	}
	scratch_remove(&f->s);
	free(f);
	return 0;
}

/* --- a monitor that says what it is told to -------------------------------------------------------- */
static void
answer_one(int listen_fd, const char *json)
{
	struct frame f = { 0 };
	struct frame_out out;
	int fd;

	do {
		fd = accept(listen_fd, NULL, NULL);
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	if (frame_recv_wait(fd, &f, WAIT_MS) != 0)
		_exit(2);
	frame_begin(&out, CALL_TYPE_OK, f.id);
	frame_put_text(&out, CALL_TAG_JSON, json);
	if (frame_send_wait(fd, &out, WAIT_MS) != 0)
		_exit(3);
	frame_out_done(&out);
	frame_done(&f);
	(void)close(fd);
}

/* One answer a call, in this order. */
static void
be_monitor(struct fixture *f, const char *const *answers)
{
	char path[128];
	int listen_fd;

	(void)snprintf(path, sizeof(path), "%s/control.sock", f->s.path);
	assert_int_equal(frame_listen(&listen_fd, path, 0600), 0);
	f->peer = fork();
	assert_true(f->peer >= 0);
	if (f->peer == 0) {
		for (; *answers; answers++)
			answer_one(listen_fd, *answers);
		_exit(0);
	}
	(void)close(listen_fd);
}

#define ANSWERS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int
follow(struct fixture *f)
{
	return commands_core_wait(&f->call, json_object(), "Update");
}

/* --- its ends ------------------------------------------------------------------------------------------ */
static void
it_ends_as_the_history_says(void **state)
{
	struct fixture *f = *state;

	be_monitor(f, ANSWERS(BUSY, IDLE, "{\"items\":[" CORE("rolled-back", "expired", "old") "," CORE("good", "", "") "," REDIS "]}"));
	assert_int_equal(follow(f), 0);
}

static void
what_turned_it_back_is_passed_on(void **state)
{
	struct fixture *f = *state;

	be_monitor(f, ANSWERS(IDLE, "{\"items\":[" CORE("good", "", "") "," CORE("rolled-back", "expired", "no word of it") "]}"));
	assert_int_equal(follow(f), REASON_EXPIRED);
	assert_string_equal(refuse_last()->operand, "mainstay");
	assert_string_equal(refuse_last()->text, "no word of it");
}

static void
a_change_that_nobody_remembers_is_no_success(void **state)
{
	struct fixture *f = *state;

	be_monitor(f, ANSWERS(IDLE, "{\"items\":[" REDIS "]}"));
	assert_refused(follow(f), REASON_NOT_FOUND, "the history has no change of the core");
	assert_string_equal(refuse_last()->operand, "mainstay");
}

/* Time goes on by a minute whenever a twentieth of a second has passed. */
static void
on_alarm(int sig)
{
	(void)sig;
	clock_fake(clock_now_us() + 60 * CLOCK_US_PER_S, clock_mono_us() + 60 * CLOCK_US_PER_S);
}

static void
silence_has_an_end(void **state)
{
	static const struct itimerval often = { .it_interval = { .tv_usec = 50000 }, .it_value = { .tv_usec = 50000 } },
				      never = { .it_value = { .tv_sec = 0 } };
	struct fixture *f = *state;
	uint64_t begin_us;
	int r;

	clock_fake(UINT64_C(1800000000) * CLOCK_US_PER_S, UINT64_C(1000) * CLOCK_US_PER_S);
	begin_us = clock_mono_us();
	(void)signal(SIGALRM, on_alarm);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	r = follow(f);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	(void)signal(SIGALRM, SIG_DFL);
	assert_true(clock_mono_us() - begin_us > 120 * CLOCK_US_PER_S);
	clock_real();
	assert_int_equal(r, REASON_UNREACHABLE);
	assert_int_equal(refuse_last()->reason, REASON_UNREACHABLE);
	assert_string_equal(refuse_last()->text, "nobody answered for 120 s: see `mainstay update status` once it does");
	assert_string_equal(refuse_last()->operand, "mainstay");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_ends_as_the_history_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_turned_it_back_is_passed_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_that_nobody_remembers_is_no_success, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence_has_an_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
