/* A worker's job: whatever happens to it, its owner hears of it once. */
#include "appliance/service/spawn_job.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/refuse.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "tests/fakes/spawn_fake.h"

enum { LIMIT_MS = 50, NEVER_MS = 60000 /* on a loaded host, too */, TURNS = 200, TYPE_JOB = 3, TYPE_ANSWER = 4 };

struct bench {
	sd_event *loop;
	struct spawn_fake *spawn;
	struct spawn_job *job;
	unsigned limit_ms; /* 0: NEVER_MS */
	unsigned n_done;
	int r;
	uint16_t type; /* of the answer */
};

static void
on_done(struct spawn_job *j, int r, struct frame *answer, void *arg)
{
	struct bench *b = arg;

	assert_non_null(j);
	assert_null(b->job); /* its slot is empty again */
	assert_int_equal(answer != NULL, r == 0);
	b->n_done++;
	b->r = r;
	b->type = answer ? answer->type : 0;
}

static void
turn(struct bench *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(sd_event_run(b->loop, 1000) >= 0);
}

static int
start(struct bench *b, size_t bytes)
{
	static char text[2 * FRAME_BYTES_MAX];
	SCOPED(frame_out_done) struct frame_out out = { 0 };

	frame_begin(&out, TYPE_JOB, 1);
	frame_put_bytes(&out, 1, text, bytes);
	return spawn_job_start(&b->job, b->loop, &b->spawn->base, SPAWN_JUDGE, NULL, &out,
		b->limit_ms ? b->limit_ms : NEVER_MS, on_done, b);
}

static void
send_answer(int fd)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };

	frame_begin(&out, TYPE_ANSWER, 1);
	assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
}

/* Whether the worker was sent this signal; 0: none at all. */
static bool
was_signalled(const struct bench *b, int signal)
{
	size_t n = b->spawn->n_calls;

	return signal == 0 ? n == 1
			   : n == 2 && strcmp(b->spawn->calls[1].what, "kill") == 0 &&
			b->spawn->calls[1].signal == signal &&
			b->spawn->calls[1].pid == b->spawn->calls[0].pid;
}

static int
setup(void **state)
{
	static struct bench b;

	b = (struct bench){ 0 };
	assert_int_equal(loop_new(&b.loop, NULL, NULL), 0);
	b.spawn = spawn_fake_new(b.loop);
	*state = &b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	spawn_job_forget(b->job);
	spawn_free(&b->spawn->base);
	sd_event_unref(b->loop);
	return 0;
}

enum deed { ANSWERS, DIES, TALKS_NONSENSE, HANGS };

static void
how_it_ends(void **state)
{
	static const struct {
		const char *name;
		enum deed deed;
		bool early; /* before the spawner told its pid */
		int r, signal;
		int told; /* what the spawner says of it */
	} rows[] = {
		{ "it answers", ANSWERS, false, 0, 0, 0 },
		{ "it answers at once", ANSWERS, true, 0, 0, 0 },
		{ "it dies", DIES, false, -ECONNRESET, 0, 0 },
		{ "it dies at once", DIES, true, -ECONNRESET, 0, 0 },
		{ "it talks nonsense", TALKS_NONSENSE, false, -ECONNRESET, SIGKILL, 0 },
		{ "it talks nonsense at once", TALKS_NONSENSE, true, -ECONNRESET, SIGKILL, 0 },
		{ "it hangs", HANGS, false, -ETIMEDOUT, SIGKILL, 0 },
		{ "it answers, the supervisor did not", ANSWERS, false, 0, 0, REASON_INTERRUPTED },
		{ "it answers before the supervisor is lost", ANSWERS, true, 0, 0, REASON_INTERRUPTED },
		{ "it dies with the supervisor, or never was", DIES, false, REASON_INTERRUPTED, 0, REASON_INTERRUPTED },
		{ "it dies before the supervisor is lost", DIES, true, REASON_INTERRUPTED, 0, REASON_INTERRUPTED },
		{ "it hangs, and nobody knows its pid", HANGS, false, -ETIMEDOUT, 0, REASON_INTERRUPTED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(frame_done) struct frame job = { 0 };
		struct bench *b;
		int fd;

		if (i > 0)
			(void)setup(state);
		b = *state;
		b->spawn->answer = rows[i].told;
		b->limit_ms = rows[i].deed == HANGS ? LIMIT_MS : NEVER_MS;
		assert_int_equal(start(b, 8), 0);
		fd = b->spawn->calls[0].fd;
		if (!rows[i].early)
			turn(b, 1);
		assert_int_equal(frame_recv_wait(fd, &job, 1000), 0);
		assert_int_equal(job.type, TYPE_JOB);
		if (rows[i].deed == ANSWERS)
			send_answer(fd);
		else if (rows[i].deed == TALKS_NONSENSE)
			assert_int_equal(send(fd, "nonsense", 8, 0), 8);
		if (rows[i].deed != HANGS)
			(void)close(STEAL_FD(b->spawn->calls[0].fd));
		for (unsigned n = 0; b->n_done == 0 && n < TURNS; n++)
			turn(b, 1);
		while (b->spawn->n_due > 0)
			turn(b, 1);
		if (b->n_done != 1 || b->r != rows[i].r ||
			b->type != (rows[i].r == 0 ? TYPE_ANSWER : 0) ||
			!was_signalled(b, rows[i].signal))
			fail_msg("%s: %d, %u times", rows[i].name, b->r, b->n_done);
		if (b->r > 0)
			assert_int_equal(refuse_last()->reason, b->r);
		if (i + 1 < ARRAY_LEN(rows))
			(void)teardown(state);
	}
}

/* Its end of the socket is closed before the refusal comes; what counts is the refusal. */
static void
none_is_started(void **state)
{
	struct bench *b = *state;

	b->spawn->answer = REASON_BUSY;
	assert_int_equal(start(b, 8), 0);
	(void)close(STEAL_FD(b->spawn->calls[0].fd));
	for (unsigned n = 0; b->n_done == 0 && n < TURNS; n++)
		turn(b, 1);
	assert_int_equal(b->n_done, 1);
	assert_int_equal(b->r, REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
}

static void
a_job_too_large_starts_nothing(void **state)
{
	struct bench *b = *state;

	assert_int_equal(start(b, FRAME_BYTES_MAX), -EMSGSIZE);
	assert_null(b->job);
	assert_int_equal(b->spawn->n_calls, 0);
}

/* Forgotten before the spawner answered: nobody hears of it, and the worker is signalled all the same. */
static void
what_is_forgotten_is_not_told(void **state)
{
	struct bench *b = *state;

	assert_int_equal(start(b, 8), 0);
	spawn_job_signal(b->job, SIGTERM);
	spawn_job_signal(b->job, SIGKILL);
	assert_null(spawn_job_forget(b->job));
	assert_null(b->job);
	while (b->spawn->n_due > 0)
		turn(b, 1);
	assert_true(was_signalled(b, SIGKILL));
	assert_int_equal(b->n_done, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(how_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(none_is_started, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_too_large_starts_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_forgotten_is_not_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
