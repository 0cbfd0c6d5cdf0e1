/* A site that was killed: at each step of a request, and what it does then. */
#include "tests/unit/remote/request/world.h"

static void
test_crash_while_running(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 1);
	crash(&m);
	assert_int_equal(spawned(&m), 0); /* never a rerun */
	assert_string_equal(story(&m), "request start end[interrupted] ");
	assert_string_equal(state_of(&m, "r-1"), "done");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_INTERRUPTED);
	assert_non_null(strstr(m.recording, "\n[0.000000, \"m\", \"interrupted\"]\n"));
	crash(&m);
	assert_string_equal(story(&m), "request start end[interrupted] ");
}

/* What had come is kept, and its recording closed, at whatever byte the monitor ended. */
static void
test_crash_while_recording(void **state)
{
	static const uint8_t said_so_far[] = "begun\n";
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED(scope_close) int fd = -1;
	SCOPED(world_end) struct monitor m;
	struct operate_output o = { OPERATE_STDERR, said_so_far, sizeof(said_so_far) - 1 };
	struct request q;
	char path[512];

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(operate_job_receive(m.spawn->calls[0].fd, &job), 0);
	assert_int_equal(operate_output_send(m.spawn->calls[0].fd, &o), 0);
	for (int i = 0; i < 20; i++) { /* until it is an event */
		(void)usleep(2000);
		pump(&m);
	}
	/* Torn within the next. */
	(void)snprintf(path, sizeof(path), "%s/lib/monitor/recordings/r-1.cast.part", fx.scratch.path);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "[0.1, \"o\", \"to", 15), 15);
	crash(&m);
	assert_string_equal(story(&m), "request start end[interrupted] ");
	assert_non_null(strstr(m.recording, ", \"o\", \"begun\\n\"]\n["));
	assert_null(strstr(m.recording, "to"));
	assert_non_null(strstr(m.recording, ", \"m\", \"interrupted\"]\n"));
}

/* Nothing runs that cannot be recorded: whoever took the folder away did not open a way around it. */
static void
test_no_run_without_a_recording(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_close) int dir = -1;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	assert_int_equal(fs_open_dir(&dir, m.dir_fd, "recordings", 0700), 0);
	assert_int_equal(fs_replace(dir, "r-1.cast.part", "", 0, 0600), 0); /* its place is taken */
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request start end[fault] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_FAILED);
	assert_int_equal(result->reason, REASON_FAULT);
}

static void
test_crash_while_waiting(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(story(&m), "request ");
	/* What was signed before still holds: the plan is the same. */
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_string_equal(story(&m), "request permit start ");
	crash(&m);
	assert_string_equal(story(&m), "request permit start end[interrupted] ");
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_REPLAYED);
}

/* Power failed between the saved result and the leaf, or between the leaf and the outbox. */
static void
test_crash_before_it_was_settled(void **state)
{
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	m.leaf_fails = "end";
	work(&m, "x", &ok);
	assert_string_equal(story(&m), "request start ");
	assert_int_equal(m.n_posts, 1);
	m.leaf_fails = NULL;
	crash(&m);
	assert_string_equal(story(&m), "request start end ");
	result = said(&m, "r-1");
	assert_string_equal(result->out, "x"); /* the result itself was not lost */

	q = good("r-2", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	m.outbox_full = true;
	work(&m, "y", &ok);
	assert_string_equal(story(&m), "request start end request start end ");
	m.outbox_full = false;
	crash(&m);
	assert_string_equal(story(&m), "request start end request start end "); /* one end each */
	request_result_free(result);
	result = said(&m, "r-2");
	assert_string_equal(result->out, "y");
}

static void
test_no_start_without_its_leaf(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.leaf_fails = "start";
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_string_equal(story(&m), "request end[fault] ");
}

static void
test_crash_when_permitted(void **state)
{
	static const struct {
		bool moved, unplanned;
		const char *reason;
	} rows[] = {
		{ false, false, "not-approved" },
		{ true, false, "state-moved" },
		{ false, true, "state-moved" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		q = good("r-1", "restart");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		leave_as(&m, "permitted");
		if (rows[i].unplanned) /* nobody saw what they permitted */
			leave_with(&m, "plan_text", NULL);
		if (rows[i].moved)
			(void)snprintf(m.service.state, sizeof(m.service.state), "stopped");
		crash(&m);
		assert_string_equal(state_of(&m, "r-1"), "refused");
		assert_string_equal(reason_of(&m, "r-1"), rows[i].reason);
		assert_int_equal(spawned(&m), 0);
	}
}

/* Permitted by the ceiling alone, nothing ran yet: it goes on, once. */
static void
test_crash_when_allowed(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	leave_as(&m, "permitted");
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "running");
	assert_int_equal(spawned(&m), 1);
	crash(&m);
	assert_string_equal(reason_of(&m, "r-1"), "interrupted");
	assert_int_equal(spawned(&m), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_while_running),
		cmocka_unit_test(test_crash_while_recording),
		cmocka_unit_test(test_no_run_without_a_recording),
		cmocka_unit_test(test_crash_while_waiting),
		cmocka_unit_test(test_crash_before_it_was_settled),
		cmocka_unit_test(test_no_start_without_its_leaf),
		cmocka_unit_test(test_crash_when_permitted),
		cmocka_unit_test(test_crash_when_allowed),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
