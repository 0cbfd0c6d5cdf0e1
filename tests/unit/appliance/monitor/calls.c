#include "appliance/monitor/calls.h"

#include "tests/unit/appliance/monitor/site.h"

#include <sys/socket.h>

enum { PEERS = 64, LOOKS = 32, HELD = 256 };

struct said {
	uint16_t type;
	char reason[32];
};

/* Send a frame and take the answer to it. */
static struct said
ask(struct site_test *t, int fd, struct frame_out *out)
{
	SCOPED(frame_done) struct frame f = { 0 };
	struct said said;

	assert_int_equal(frame_send_wait(fd, out, 1000), 0);
	frame_out_done(out);
	site_settle(t);
	assert_int_equal(frame_recv_wait(fd, &f, 1000), 0);
	said.type = f.type;
	(void)snprintf(said.reason, sizeof(said.reason), "%s",
		frame_text(&f, CALL_TAG_REASON, 31) ?: "");
	return said;
}

static int
attach(struct site_test *t)
{
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_CONTROL, fds[1], "uid:0"), 0);
	return fds[0];
}

/* What a peer may send instead of a call: it is told so, once, and nothing else happens. */
static void
calls_of_another_form_are_refused(void **state)
{
	static const struct {
		const char *name;
		const char *verb;
		size_t len;
		enum call_tag more;
		const char *reason;
	} rows[] = {
		{ "a verb with a NUL in it", "sta\0tus", 7, 0, "malformed" },
		{ "a verb that is empty", "", 0, 0, "not-found" },
		{ "a second verb", "status", 6, CALL_TAG_VERB, "malformed" },
		{ "a field that calls do not have", "status", 6, CALL_TAG_REASON, "malformed" },
		{ "a verb that nobody registered", "stat", 4, 0, "not-found" },
	};
	struct site_test *t = *state;
	int fd = attach(t);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_free) char *before = site_state(t);
		SCOPED(scope_free) char *after = NULL;
		enum reason reason = refuse_reason(rows[i].reason);
		uint64_t count = refuse_count(reason);
		struct frame_out out;
		struct said said;

		frame_begin(&out, CALL_TYPE_CALL, 7);
		frame_put_bytes(&out, CALL_TAG_VERB, rows[i].verb, rows[i].len);
		if (rows[i].more)
			frame_put_text(&out, (uint16_t)rows[i].more, "x");
		said = ask(t, fd, &out);
		assert_int_equal(said.type, CALL_TYPE_REFUSED);
		assert_string_equal(said.reason, rows[i].reason);
		assert_int_equal(refuse_count(reason), count + 1);
		after = site_state(t);
		assert_string_equal(before, after);
	}
	(void)close(fd);
}

static void
a_parameter_that_is_no_text_or_lacks_its_value_is_refused(void **state)
{
	static const struct {
		const char *name;
		const char *param, *value;
		size_t param_len, value_len;
		bool has_value;
	} rows[] = {
		{ "a name with a NUL in it", "a\0b", "x", 3, 1, true },
		{ "a value with a NUL in it", "since", "1\0d", 5, 3, true },
		{ "a name without a value", "since", NULL, 5, 0, false },
	};
	struct site_test *t = *state;
	int fd = attach(t);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t count = refuse_count(REASON_MALFORMED);
		struct frame_out out;
		struct said said;

		frame_begin(&out, CALL_TYPE_CALL, 7);
		frame_put_text(&out, CALL_TAG_VERB, "status");
		frame_put_bytes(&out, CALL_TAG_NAME, rows[i].param, rows[i].param_len);
		if (rows[i].has_value)
			frame_put_bytes(&out, CALL_TAG_VALUE, rows[i].value, rows[i].value_len);
		said = ask(t, fd, &out);
		if (said.type != CALL_TYPE_REFUSED || strcmp(said.reason, "malformed") != 0)
			fail_msg("%s: %d %s", rows[i].name, said.type, said.reason);
		assert_int_equal(refuse_count(REASON_MALFORMED), count + 1);
	}
	(void)close(fd);
}

static void
a_body_that_is_no_file_or_too_long_is_refused(void **state)
{
	struct site_test *t = *state;
	int fd = attach(t), pipes[2], huge = -1;
	struct frame_out out;
	struct said said;
	uint64_t malformed = refuse_count(REASON_MALFORMED), large = refuse_count(REASON_TOO_LARGE);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	frame_begin(&out, CALL_TYPE_CALL, 8);
	frame_put_text(&out, CALL_TAG_VERB, "enrol.begin");
	frame_put_fd(&out, pipes[0]); /* would hang whoever reads it */
	said = ask(t, fd, &out);
	assert_string_equal(said.reason, "malformed");
	assert_int_equal(refuse_count(REASON_MALFORMED), malformed + 1);
	scratch_write(&t->dir, "huge", "", 0);
	huge = openat(t->dir.fd, "huge", O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(huge, CALL_FD_BYTES_MAX + 1), 0);
	frame_begin(&out, CALL_TYPE_CALL, 9);
	frame_put_text(&out, CALL_TAG_VERB, "enrol.begin");
	frame_put_fd(&out, huge);
	said = ask(t, fd, &out);
	assert_string_equal(said.reason, "too-large");
	assert_int_equal(refuse_count(REASON_TOO_LARGE), large + 1);
	for (size_t i = 0; i < 2; i++)
		(void)close(pipes[i]);
	(void)close(huge);
	(void)close(fd);
}

static struct monitor_call *held[HELD];
static size_t n_held;

static int
on_hold(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)m;
	(void)arg;
	held[n_held++] = call;
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

static unsigned n_ended;

static void
on_ended(int r, const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	assert_int_equal(r, 0);
	n_ended++;
}

static void
so_many_calls_wait_and_no_more(void **state)
{
	struct site_test *t = *state;

	n_held = n_ended = 0;
	assert_int_equal(monitor_register_verb(t->m, "test.hold", CALL_ROLE_CONTROL, on_hold, NULL),
		0);
	for (size_t i = 0; i < HELD; i++)
		monitor_call_inside(t->m, CALL_ROLE_CONTROL, "test.hold", NULL, NULL, 0, on_ended,
			NULL);
	assert_int_equal(n_held, HELD);
	site_refused(t, site_control(t, "test.hold", NULL), REASON_BUSY);
	site_refused(t, site_control(t, "status", NULL), REASON_BUSY);
	monitor_answer(held[--n_held], NULL);
	assert_int_equal(site_control(t, "status", NULL), 0);
	while (n_held > 0)
		monitor_answer(held[--n_held], NULL);
	assert_int_equal(n_ended, HELD);
}

static void
so_many_peers_connect_and_no_more(void **state)
{
	struct site_test *t = *state;
	int near[PEERS], fds[2];

	for (size_t i = 0; i < PEERS; i++)
		near[i] = attach(t);
	assert_int_equal(frame_pair(fds), 0);
	site_refused(t, calls_attach(t->m, CALL_ROLE_CONTROL, fds[1], "uid:0"), REASON_BUSY);
	(void)close(fds[0]);
	(void)close(near[0]);
	site_settle(t);
	near[0] = attach(t); /* there is room again */
	for (size_t i = 0; i < PEERS; i++)
		(void)close(near[i]);
	site_settle(t);
}

/* The operators' group: it may look, and hand in what somebody's key signed. */
static void
who_may_look_changes_nothing(void **state)
{
	static const struct {
		const char *verb;
		uint16_t type;
		const char *reason;
	} rows[] = {
		{ "status", CALL_TYPE_OK, "" },
		{ "audit.head", CALL_TYPE_OK, "" },
		{ "switch", CALL_TYPE_REFUSED, "wrong-role" },
		{ "leave", CALL_TYPE_REFUSED, "wrong-role" },
		{ "policy.apply", CALL_TYPE_REFUSED, "wrong-role" },
		{ "service.stop", CALL_TYPE_REFUSED, "wrong-role" },
		{ "courier.hello", CALL_TYPE_REFUSED, "not-found" },
	};
	struct site_test *t = *state;
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_LOOK, fds[1], "uid:1000"), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_free) char *before = site_state(t);
		SCOPED(scope_free) char *after = NULL;
		uint64_t count = refuse_count(REASON_WRONG_ROLE);
		struct frame_out out;
		struct said said;

		frame_begin(&out, CALL_TYPE_CALL, 7);
		frame_put_text(&out, CALL_TAG_VERB, rows[i].verb);
		said = ask(t, fds[0], &out);
		if (said.type != rows[i].type || strcmp(said.reason, rows[i].reason) != 0)
			fail_msg("%s: %d %s", rows[i].verb, said.type, said.reason);
		assert_int_equal(refuse_count(REASON_WRONG_ROLE) - count, strcmp(rows[i].reason, "wrong-role") == 0);
		after = site_state(t);
		assert_string_equal(before, after);
	}
	(void)close(fds[0]);
}

/* However many look, root still gets in. */
static void
so_many_look_and_no_more(void **state)
{
	struct site_test *t = *state;
	int near[LOOKS], fds[2];

	for (size_t i = 0; i < LOOKS; i++) {
		assert_int_equal(frame_pair(fds), 0);
		assert_int_equal(calls_attach(t->m, CALL_ROLE_LOOK, fds[1], "uid:1000"), 0);
		near[i] = fds[0];
	}
	assert_int_equal(frame_pair(fds), 0);
	site_refused(t, calls_attach(t->m, CALL_ROLE_LOOK, fds[1], "uid:1000"), REASON_BUSY);
	(void)close(fds[0]);
	(void)close(attach(t));
	for (size_t i = 0; i < LOOKS; i++)
		(void)close(near[i]);
	site_settle(t);
}

/* This process has the uid that all roles have here, but stands in no roster. */
static void
who_is_not_in_the_roster_speaks_for_no_daemon(void **state)
{
	static const char *const sockets[] = { "courier.sock", "collect.sock" };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		SCOPED(scope_free) char *before = site_state(t);
		SCOPED(scope_free) char *after = NULL;
		SCOPED(frame_done) struct frame f = { 0 };
		SCOPED(scope_close) int fd = -1;
		uint64_t count = refuse_count(REASON_WRONG_ROLE);
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/%s", t->paths.run, sockets[i]);
		assert_int_equal(frame_connect(&fd, path), 0);
		site_settle(t);
		assert_int_equal(frame_recv_wait(fd, &f, 1000), REASON_UNREACHABLE);
		assert_int_equal(refuse_count(REASON_WRONG_ROLE), count + 1);
		assert_int_equal(refuse_last()->reason, REASON_WRONG_ROLE);
		after = site_state(t);
		assert_string_equal(before, after);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(calls_of_another_form_are_refused, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(
			a_parameter_that_is_no_text_or_lacks_its_value_is_refused, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(a_body_that_is_no_file_or_too_long_is_refused,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(so_many_calls_wait_and_no_more, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(so_many_peers_connect_and_no_more, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(who_may_look_changes_nothing, site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(so_many_look_and_no_more, site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(who_is_not_in_the_roster_speaks_for_no_daemon,
			site_set_up, site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
