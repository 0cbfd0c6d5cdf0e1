/* The customer's own programs: which are run, with what, how often. */
#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/notify.h"

static const char told[] = "v: 1\nnotify: [request, policy]\nrules: []\n";

static void
tell_policy(struct site_test *t)
{
	char path[512];

	scratch_write(&t->dir, "policy.yaml", told, strlen(told));
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->dir.path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(site_control(t, "policy.apply", json_pack("{s:s}", "path", path)), 0);
	site_settle(t);
	t->spawner->n_calls = 0;
}

static void
put_program(struct site_test *t, const char *name, mode_t mode)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/notify.d", t->paths.etc);
	(void)mkdir(t->paths.etc, 0755);
	(void)mkdir(path, 0755);
	(void)snprintf(path, sizeof(path), "%s/notify.d/%s", t->paths.etc, name);
	assert_int_equal(fs_replace_path(path, "#!/bin/sh\n", 10, mode), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* The job of the i-th run, taken and over. */
static json_t *
take_run(struct site_test *t, size_t i, char name[256])
{
	SCOPED(frame_done) struct frame f = { 0 };
	SCOPED(buf_done) struct buf line = BUF_MAX(65536);
	const char *path;
	json_t *event = NULL;
	int fd = t->spawner->calls[i].fd;

	assert_string_equal(t->spawner->calls[i].what, "notify");
	assert_int_equal(frame_recv_wait(fd, &f, 1000), 0);
	assert_int_equal(f.n_fds, 2);
	path = frame_text(&f, CALL_TAG_TEXT, 4096);
	assert_non_null(path);
	(void)snprintf(name, 256, "%s", strrchr(path, '/') + 1);
	assert_int_equal(fs_read_fd(f.fds[1], 65536, &line), 0);
	assert_int_equal(line.data[line.len - 1], '\n');
	assert_int_equal(json_read(&event, line.data, line.len - 1, 65536, "event"), 0);
	t->spawner->calls[i].fd = -1;
	(void)close(fd);
	return event;
}

static size_t
runs(struct site_test *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->spawner->n_calls; i++)
		n += strcmp(t->spawner->calls[i].what, "notify") == 0;
	return n;
}

static void
each_program_is_run_once_with_the_event(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *first = NULL, *second = NULL;
	char name[256];

	tell_policy(t);
	put_program(t, "10-mail", 0755);
	put_program(t, "20-page", 0755);
	monitor_notify(t->m, "request", "r-1", "request r-1 waits");
	(void)sd_event_run(t->loop, 10000);
	assert_int_equal(runs(t), 1); /* one at a time */
	first = take_run(t, 0, name);
	assert_string_equal(name, "10-mail");
	assert_string_equal(json_text(first, "event"), "request");
	assert_string_equal(json_text(first, "about"), "r-1");
	assert_string_equal(json_text(first, "text"), "request r-1 waits");
	for (unsigned i = 0; i < 20 && runs(t) < 2; i++)
		(void)sd_event_run(t->loop, 10000);
	assert_int_equal(runs(t), 2);
	second = take_run(t, 1, name);
	assert_string_equal(name, "20-page");
	site_settle(t);
}

static void
what_the_policy_does_not_name_runs_nothing(void **state)
{
	struct site_test *t = *state;

	put_program(t, "10-mail", 0755);
	monitor_notify(t->m, "request", "r-1", "nobody asked to be told");
	tell_policy(t);
	monitor_notify(t->m, "alert", "redis", "this is not named");
	for (unsigned i = 0; i < 5; i++)
		(void)sd_event_run(t->loop, 1000);
	assert_int_equal(runs(t), 0);
}

static void
what_others_could_have_written_is_not_run(void **state)
{
	struct site_test *t = *state;
	char path[600];
	uint64_t before;

	tell_policy(t);
	put_program(t, "open", 0777);
	put_program(t, "text", 0644);
	(void)snprintf(path, sizeof(path), "%s/notify.d/link", t->paths.etc);
	assert_int_equal(symlink("/bin/true", path), 0);
	before = refuse_count(REASON_WRONG_ROLE);
	monitor_notify(t->m, "request", "r-1", "request r-1 waits");
	for (unsigned i = 0; i < 5; i++)
		(void)sd_event_run(t->loop, 1000);
	assert_int_equal(runs(t), 0);
	assert_int_equal(refuse_count(REASON_WRONG_ROLE), before + 2);
}

static void
a_flood_is_left_out_and_counted(void **state)
{
	struct site_test *t = *state;
	unsigned n = 0;
	int64_t left_out = 0;
	char name[256];

	clock_fake(clock_now_us(), 1000 * CLOCK_US_PER_S);
	tell_policy(t);
	put_program(t, "10-mail", 0755);
	for (unsigned i = 0; i < NOTIFY_WAITING_MAX + 10; i++)
		monitor_notify(t->m, "request", "r-1", "request r-1 waits");
	for (unsigned i = 0; i < 400; i++) {
		(void)sd_event_run(t->loop, 1000);
		for (size_t k = 0; k < t->spawner->n_calls; k++)
			if (t->spawner->calls[k].fd >= 0) {
				SCOPED_JSON *event = take_run(t, k, name);

				left_out += json_integer_value(json_object_get(event, "left_out"));
				n++;
			}
		if (t->spawner->n_due == 0)
			t->spawner->n_calls = 0;
	}
	assert_int_equal(n, NOTIFY_PER_MINUTE);
	clock_fake(clock_now_us(), 1100 * CLOCK_US_PER_S);
	monitor_notify(t->m, "request", "r-2", "request r-2 waits");
	for (unsigned i = 0; i < 5 && runs(t) == 0; i++)
		(void)sd_event_run(t->loop, 1000);
	{
		SCOPED_JSON *event = take_run(t, 0, name);

		left_out += json_integer_value(json_object_get(event, "left_out"));
	}
	assert_int_equal(left_out, NOTIFY_WAITING_MAX + 10 - NOTIFY_PER_MINUTE);
	clock_real();
	site_settle(t);
}

static void
leaves_tell_of_themselves(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *event = NULL;
	char name[256];

	tell_policy(t);
	put_program(t, "10-mail", 0755);
	assert_int_equal(monitor_leaf(t->m, "policy", "uid:0", "policy.yaml", NULL, REASON_NONE), 0);
	assert_int_equal(monitor_leaf(t->m, "start", "ann", "r-1", NULL, REASON_NONE), 0);
	for (unsigned i = 0; i < 5 && runs(t) == 0; i++)
		(void)sd_event_run(t->loop, 1000);
	assert_int_equal(runs(t), 1);
	event = take_run(t, 0, name);
	assert_string_equal(json_text(event, "event"), "policy");
	site_settle(t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, site_set_up, site_tear_down)
		TEST(each_program_is_run_once_with_the_event),
		TEST(what_the_policy_does_not_name_runs_nothing),
		TEST(what_others_could_have_written_is_not_run),
		TEST(a_flood_is_left_out_and_counted),
		TEST(leaves_tell_of_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
