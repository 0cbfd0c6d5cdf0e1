/* What goes wrong while an operation runs: its worker, its sandbox, the supervisor, the person who stops it. */
#include "tests/unit/remote/request/world.h"

#include <signal.h>

/* More than its plan allows, or what is no frame of a worker: it is killed, and its word on the end does not count. */
static void
test_worker_says_too_much(void **state)
{
	static const uint8_t part[OPERATE_CHUNK_MAX];
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	static const struct {
		const char *says;
		size_t whole, more; /* parts of full size, and bytes after them */
		enum request_outcome outcome;
		enum reason reason;
	} rows[] = {
		{ "all that it may write", 4, 0, REQUEST_OUTCOME_OK, REASON_NONE },
		{ "a byte more", 4, 1, REQUEST_OUTCOME_FAILED, REASON_MALFORMED },
		{ "a part of nothing", 0, 0, REQUEST_OUTCOME_FAILED, REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(operate_job_done) struct operate_job job = { 0 };
		struct operate_output o = { OPERATE_STDOUT, part, sizeof(part) };
		SCOPED(world_end) struct monitor m;
		struct request q;
		int fd;

		world_open(&m);
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		fd = m.spawn->calls[0].fd;
		assert_int_equal(operate_job_receive(fd, &job), 0);
		assert_int_equal(job.output, 4 * sizeof(part));
		for (size_t k = 0; k < rows[i].whole; k++)
			assert_int_equal(operate_output_send(fd, &o), 0);
		o = (struct operate_output){ OPERATE_STDERR, part, rows[i].more };
		if (rows[i].more > 0 || rows[i].whole == 0)
			assert_int_equal(operate_output_send(fd, &o), 0);
		assert_int_equal(operate_result_send(fd, &ok), 0);
		pump(&m);
		result = said(&m, "r-1");
		if (result->outcome != rows[i].outcome || result->reason != rows[i].reason)
			fail_msg("%s: %s", rows[i].says, request_outcome_name(result->outcome));
		assert_int_equal(strcmp(m.spawn->calls[m.spawn->n_calls - 1].what, "kill") == 0,
			rows[i].outcome != REQUEST_OUTCOME_OK);
		assert_string_equal(story(&m), rows[i].reason ? "request start end[malformed] " : "request start end ");
	}
}

/* Each is named in the result, in what is recorded, and asked of the supervisor. */
static void
test_limits_are_named(void **state)
{
	static const struct {
		struct operate_result end;
		const char *text;
	} rows[] = {
		{ { .outcome = OPERATE_TIMEOUT, .exit_status = -1, .signal = SIGKILL }, "its time of 10000 ms was over" },
		{ { .outcome = OPERATE_FAILED, .signal = SIGKILL, .exit_status = -1, .limits = OPERATE_LIMIT_MEMORY },
			"its limit of 64 MiB of memory" },
		{ { .outcome = OPERATE_OK, .limits = OPERATE_LIMIT_PROCESSES }, "its limit of 64 processes" },
		{ { .outcome = OPERATE_OK, .limits = OPERATE_LIMIT_CPU }, "its limit of one processor's time" },
		{ { .outcome = OPERATE_FAILED, .signal = SIGKILL, .exit_status = -1, .limits = OPERATE_LIMIT_UNTOLD },
			"perhaps reached its limit of 64 MiB of memory or 64 processes" },
		{ { .outcome = OPERATE_OK, .truncated = true }, "its limit of 64 KiB of output" },
		{ { .outcome = OPERATE_OK }, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		assert_int_equal(m.spawn->calls[0].memory, 64 << 20);
		assert_int_equal(m.spawn->calls[0].processes, OPERATE_PROCESSES + OPERATE_OURS);
		assert_int_equal(m.spawn->calls[0].cpu_milli, OPERATE_CPU_MILLI);
		work(&m, "so far\n", &rows[i].end);
		result = said(&m, "r-1");
		assert_string_equal(result->out, "so far\n");
		if (!strstr(result->err, rows[i].text) || !strstr(m.recording, rows[i].text) ||
			(*rows[i].text == '\0') != (*result->err == '\0'))
			fail_msg("%s: %s", rows[i].text, result->err);
	}
}

static void
stopped_while_running(struct monitor *m, void (*stop)(struct monitor *m), enum reason reason)
{
	static const struct operate_result cancelled = {
		.outcome = OPERATE_CANCELLED, .exit_status = -1, .signal = SIGTERM
	};
	SCOPED(request_result_freep) struct request_result *result = NULL;
	struct request q;

	world_open(m);
	q = good("r-1", "info");
	assert_int_equal(deliver(m, "1", &q, ANN), 0);
	stop(m);
	assert_string_equal(m->spawn->calls[m->spawn->n_calls - 1].what, "kill");
	assert_int_equal(m->spawn->calls[m->spawn->n_calls - 1].signal, SIGTERM);
	work(m, "", &cancelled);
	assert_string_equal(state_of(m, "r-1"), "done");
	m->remote_on = true;
	changed(m, MONITOR_CHANGE_SWITCH);
	result = said(m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_CANCELLED);
	assert_int_equal(result->reason, reason);
}

static void
switch_off(struct monitor *m)
{
	m->remote_on = false;
	changed(m, MONITOR_CHANGE_SWITCH);
}

static void
customer_stops(struct monitor *m)
{
	assert_int_equal(deny(m, "r-1"), 0);
}

static void
test_stopped_while_running(void **state)
{
	struct monitor m;

	(void)state;
	stopped_while_running(&m, switch_off, REASON_SWITCHED_OFF);
	assert_string_equal(story(&m), "request start end[switched-off] ");
	world_end(&m);
	stopped_while_running(&m, customer_stops, REASON_DENIED);
	assert_string_equal(story(&m), "request start cancel[denied] end[denied] ");
	world_end(&m);
}

static void
test_worker_dies(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	close(STEAL_FD(m.spawn->calls[0].fd));
	pump(&m);
	assert_string_equal(story(&m), "request start end[interrupted] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_INTERRUPTED);
}

/* A worker is not believed: what is no answer is none, and it is killed. */
static void
test_worker_lies(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(write(m.spawn->calls[0].fd, "rubbish", 7), 7);
	pump(&m);
	assert_string_equal(m.spawn->calls[1].what, "kill");
	assert_int_equal(m.spawn->calls[1].signal, SIGKILL);
	assert_string_equal(story(&m), "request start end[interrupted] ");
}

static void
test_no_sandbox(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.spawn->answer = REASON_NO_SANDBOX;
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "request start end[no-sandbox] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_NO_SANDBOX);
	m.spawn->answer = 0;
}

/* The supervisor was killed while it started the worker: that one may run, so nobody says that nothing has. */
static void
test_supervisor_is_lost(void **state)
{
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	static const enum request_outcome want[] = { REQUEST_OUTCOME_INTERRUPTED, REQUEST_OUTCOME_OK };

	(void)state;
	for (size_t runs = 0; runs < ARRAY_LEN(want); runs++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		m.spawn->answer = REASON_INTERRUPTED;
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		pump(&m);
		assert_string_equal(story(&m), "request start "); /* its socket will tell */
		if (runs)
			work_at(&m, 0, OPERATE_STDOUT, "a\n", &ok);
		close(STEAL_FD(m.spawn->calls[0].fd));
		pump(&m);
		assert_string_equal(story(&m), runs ? "request start end " : "request start end[interrupted] ");
		result = said(&m, "r-1");
		assert_int_equal(result->outcome, want[runs]);
		m.spawn->answer = 0;
	}
}

static void
test_step_fails(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	(void)snprintf(m.service.health, sizeof(m.service.health), "failing");
	step_over(&m, REFUSE(REASON_STATE_MOVED, "redis", "it did not get there"));
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_FAILED);
	assert_int_equal(result->reason, REASON_STATE_MOVED);
	assert_non_null(strstr(result->out, "health failing"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker_says_too_much),
		cmocka_unit_test(test_limits_are_named),
		cmocka_unit_test(test_stopped_while_running),
		cmocka_unit_test(test_worker_dies),
		cmocka_unit_test(test_worker_lies),
		cmocka_unit_test(test_no_sandbox),
		cmocka_unit_test(test_supervisor_is_lost),
		cmocka_unit_test(test_step_fails),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
