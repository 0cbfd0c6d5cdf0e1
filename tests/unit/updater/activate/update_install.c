/* `service install` that comes to nothing leaves cluster.yaml as it was, and says so. */
#include "tests/unit/updater/activate/bench.h"

#include "updater/activate/update_verbs.h"

static const char others[] = "# mine\nservices:\n  nginx:\n    channel: stable\n";
static const char with_redis[] = "# mine\nservices:\n  nginx:\n    channel: stable\n  redis:\n    channel: stable\n";

static void
begin(struct bench *b, const char *cluster, struct site_answer *a)
{
	bench_etc(b, "cluster.yaml", cluster, strlen(cluster));
	services_reload(b->t->m);
	bench_settle(b);
	bench_begin(b, "service.install", "redis", a);
	bench_settle(b);
	assert_false(a->came);
}

static void
assert_cluster(struct bench *b, const char *is)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(UPDATE_CLUSTER_MAX);
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", b->t->paths.etc);
	assert_int_equal(fs_read(AT_FDCWD, path, text.max, &text), 0);
	assert_string_equal(buf_text(&text), is);
}

/* All of its bytes came, so it is started. */
static void
arrive(struct bench *b, const struct bench_release *r, unsigned counter)
{
	assert_int_equal(bench_assign(b, counter, r->target, r->hex), 0);
	assert_int_equal(bench_call(b, CALL_ROLE_COURIER, "update.objects", NULL, NULL, 0, NULL), 0);
	for (unsigned i = 0; i < 200 && !b->u->run; i++)
		bench_turn(b);
	assert_non_null(b->u->run);
	bench_settle(b);
}

/* It never becomes healthy. */
static void
run_into_the_wall(struct bench *b, const struct bench_release *r, unsigned counter)
{
	arrive(b, r, counter);
	clock_fake(clock_now_us() + 61 * CLOCK_US_PER_S, clock_mono_us() + 61 * CLOCK_US_PER_S);
	for (unsigned i = 0; i < 200 && b->u->run; i++)
		bench_turn(b);
	clock_real();
	bench_settle(b);
	assert_null(b->u->run);
}

static void
a_first_release_that_fails_is_taken_out_again(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct site_answer a;

	bench_release(b, &r, "redis", "7", "redis");
	bench_publish(b, &r, bench_custom(1));
	begin(b, others, &a);
	assert_cluster(b, with_redis);
	run_into_the_wall(b, &r, 1);
	assert_int_equal(bench_end(b, &a, 1), REASON_STATE_MOVED);
	assert_non_null(strstr(a.why.text, "; now redis is not installed; cluster.yaml does not name it any more"));
	assert_cluster(b, others);
	assert_null(services_cluster(b->t->m, "redis")); /* when it was said, the monitor knew it */
	/* It can be asked for at once. */
	begin(b, others, &a);
	assert_cluster(b, with_redis);
	update_fail_waiting(b->u, NULL, REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
	assert_int_equal(bench_end(b, &a, 1), REASON_UNREACHABLE);
	assert_cluster(b, others);
}

/* A person wrote it there: it stays, and status says that it is not installed, and why. */
static void
what_a_person_wrote_stays_and_is_said(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED_JSON *status = NULL, *list = NULL;
	struct site_answer a;
	const json_t *row;

	bench_release(b, &r, "redis", "7", "redis");
	bench_publish(b, &r, bench_custom(1));
	begin(b, with_redis, &a);
	run_into_the_wall(b, &r, 1);
	assert_int_equal(bench_end(b, &a, 1), REASON_STATE_MOVED);
	assert_non_null(strstr(a.why.text, "; now redis is not installed"));
	assert_null(strstr(a.why.text, "any more"));
	assert_cluster(b, with_redis);
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	row = json_array_get(json_object_get(status, "services"), 1);
	assert_string_equal(json_text(row, "name"), "redis");
	assert_string_equal(json_text(row, "state"), "stopped");
	assert_true(json_is_false(json_object_get(row, "installed")));
	assert_non_null(strstr(json_text(row, "why"), "start: "));
	assert_non_null(strstr(json_text(row, "why"), "[state-moved]"));
	row = json_array_get(json_object_get(status, "services"), 0);
	assert_string_equal(json_text(row, "why"), "no release of it was put in yet");
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "service.list", NULL, NULL, 0, &list), 0);
	row = json_array_get(json_object_get(list, "items"), 1);
	assert_string_equal(json_text(row, "why"), "not installed: mainstay service install redis");
}

/* A crash ended the command and not the install: who asks again hears how it ends, as the first would have. */
static void
asked_again_while_it_goes_on_waits_for_its_end(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct site_answer a, again;

	bench_release(b, &r, "redis", "7", "redis");
	bench_publish(b, &r, bench_custom(1));
	begin(b, others, &a);
	arrive(b, &r, 1);
	bench_restart(b);
	assert_non_null(b->u->run);
	assert_int_equal(change_run_state(b->u->run)->items[0].step, CHANGE_START);
	bench_begin(b, "service.install", "redis", &again);
	assert_int_equal(bench_end(b, &again, 5), REASON_STATE_MOVED);
	assert_non_null(strstr(again.why.text, "; now redis is not installed"));
	assert_cluster(b, with_redis); /* as the command that was cut off left it */
}

static void
another_channel_than_the_files_is_refused(void **state)
{
	struct bench *b = *state;

	bench_etc(b, "cluster.yaml", with_redis, strlen(with_redis));
	services_reload(b->t->m);
	bench_settle(b);
	bench_refused(b, bench_control(b, "service.install", json_pack("{s:s, s:s}", "service", "redis", "channel", "beta")),
		REASON_CONFLICT);
	assert_non_null(strstr(refuse_last()->text, "cluster.yaml says channel stable"));
	assert_false(update_installing(b->u, "redis"));
}

static void
what_was_set_meanwhile_stays(void **state)
{
	static const char set[] = "services:\n  redis:\n    channel: stable\n    knobs:\n      mine: 7\n";
	struct bench *b = *state;
	struct site_answer a;

	begin(b, others, &a);
	bench_etc(b, "cluster.yaml", set, strlen(set));
	services_reload(b->t->m);
	bench_settle(b);
	update_fail_waiting(b->u, NULL, REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
	assert_int_equal(bench_end(b, &a, 1), REASON_UNREACHABLE);
	assert_cluster(b, set);
}

/* Two wait for it: the line is there as long as one of them does. */
static void
the_last_that_waits_takes_it_out(void **state)
{
	struct bench *b = *state;
	struct site_answer a, second;

	begin(b, others, &a);
	bench_begin(b, "service.install", "redis", &second);
	bench_settle(b);
	update_end_failed(&b->u->waiting[0], REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
	assert_int_equal(bench_end(b, &a, 1), REASON_UNREACHABLE);
	assert_cluster(b, with_redis);
	update_fail_waiting(b->u, NULL, REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
	assert_int_equal(bench_end(b, &second, 1), REASON_UNREACHABLE);
	assert_cluster(b, others);
}

int
main(void)
{
#define INSTALL_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		INSTALL_TEST(a_first_release_that_fails_is_taken_out_again),
		INSTALL_TEST(what_a_person_wrote_stays_and_is_said),
		INSTALL_TEST(asked_again_while_it_goes_on_waits_for_its_end),
		INSTALL_TEST(another_channel_than_the_files_is_refused),
		INSTALL_TEST(what_was_set_meanwhile_stays),
		INSTALL_TEST(the_last_that_waits_takes_it_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
