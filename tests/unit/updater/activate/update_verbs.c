/* The updater's verbs in a real monitor: what each refuses, and that it then changed nothing. */
#include "tests/unit/updater/activate/bench.h"

#include "updater/activate/update_verbs.h"

/* --- install ------------------------------------------------------------------------------------------------ */
static void
only_a_recorded_site_with_the_switch_on_installs(void **state)
{
	struct bench *b = *state;

	bench_switch(b, "false");
	bench_refused(b, bench_service(b, "service.install", "redis"), REASON_SWITCHED_OFF);
	bench_refused(b, bench_control(b, "update.check", NULL), REASON_SWITCHED_OFF);
	bench_switch(b, "true");
	assert_int_equal(unlinkat(b->t->m->dir_fd, "record.json", 0), 0);
	bench_restart(b);
	bench_refused(b, bench_service(b, "service.install", "redis"), REASON_NOT_APPROVED);
	bench_refused(b, bench_control(b, "update.check", NULL), REASON_NOT_APPROVED);
}

static void
what_runs_is_not_installed_again(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };

	bench_release(b, &r, "redis", "7", "redis");
	bench_active(b, r.hex, 1);
	bench_refused(b, bench_service(b, "service.install", "redis"), REASON_CONFLICT);
}

static void
a_cluster_file_that_is_no_one_is_left_alone(void **state)
{
	struct bench *b = *state;
	char *big = malloc(70000);

	memset(big, '#', 70000);
	bench_etc(b, "cluster.yaml", big, 70000);
	bench_refused(b, bench_service(b, "service.install", "redis"), REASON_TOO_LARGE);
	free(big);
}

static void
the_ninth_command_that_would_wait_changes_nothing(void **state)
{
	struct bench *b = *state;
	struct site_answer answers[UPDATE_WAITING_MAX];
	char name[8];

	for (unsigned i = 0; i < UPDATE_WAITING_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		bench_begin(b, "service.install", name, &answers[i]);
		bench_settle(b);
		assert_false(answers[i].came);
	}
	bench_refused(b, bench_service(b, "service.install", "redis"), REASON_BUSY);
	update_fail_waiting(b->u, NULL, REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
	for (unsigned i = 0; i < UPDATE_WAITING_MAX; i++)
		assert_int_equal(bench_end(b, &answers[i], 1), REASON_UNREACHABLE);
}

static void
an_install_without_an_assignment_ends(void **state)
{
	struct bench *b = *state;
	struct site_answer a;
	uint64_t before;

	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	b->u->waiting[0].tries = 1000;
	before = refuse_count(REASON_UNREACHABLE);
	assert_int_equal(bench_end(b, &a, 5), REASON_UNREACHABLE);
	assert_int_equal(refuse_count(REASON_UNREACHABLE), before + 1);
	assert_string_equal(b->u->state, "idle");
	assert_string_equal(b->u->reason, "unreachable");
	assert_null(b->u->run);
}

/* Somebody took it out, and the monitor has not read that yet: as when one install is interrupted and the next one follows. */
static void
an_install_goes_by_what_the_file_says_now(void **state)
{
	struct bench *b = *state;
	struct site_answer a;

	bench_etc(b, "cluster.yaml", bench_cluster, strlen(bench_cluster));
	services_reload(b->t->m);
	bench_settle(b);
	bench_etc(b, "cluster.yaml", "services: {}\n", 13);
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_false(a.came);
	assert_non_null(services_cluster(b->t->m, "redis"));
	update_fail_waiting(b->u, NULL, REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
	assert_int_equal(bench_end(b, &a, 1), REASON_UNREACHABLE);
	assert_null(services_cluster(b->t->m, "redis")); /* and takes out what it had put in */
}

static void
an_install_that_nobody_could_read_ends(void **state)
{
	static const char none[] = "services: {}\n";
	struct bench *b = *state;
	SCOPED(buf_done) struct buf text = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(scope_close) int etc = -1;
	struct site_answer a;

	bench_etc(b, "cluster.yaml", none, strlen(none));
	services_reload(b->t->m);
	bench_settle(b);
	b->t->judge_dies = 3;
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_int_equal(bench_end(b, &a, 1), REASON_MALFORMED);
	assert_non_null(strstr(b->u->text, "the judge died over it"));
	assert_int_equal(update_cluster_text(b->u, &etc, &text), 0);
	assert_null(strstr(buf_text(&text), "redis"));
}

/* The vendor's signed metadata says what there is: who installs anything else need not wait, and leaves nothing behind. */
static void
an_install_of_what_nobody_signed_ends(void **state)
{
	static const struct {
		const char *service, *channel;
		const char *text; /* NULL: it goes on waiting */
	} rows[] = {
		{ "redsi", NULL, "the vendor has signed no release of that name" },
		{ "redis", "beta", "no release of it in channel \"beta\"" },
		{ "redis", NULL, NULL },
	};
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct site_answer a; /* the last row's waits on, until the end */
	uint64_t each = refuse_count(REASON_NOT_FOUND); /* refresh says that there is no people document */

	bench_release(b, &r, "redis", "7", "redis");
	bench_etc(b, "cluster.yaml", "services:\n  nginx:\n    channel: stable\n", 39);
	services_reload(b->t->m);
	bench_settle(b);
	bench_publish(b, &r, bench_custom(1));
	each = refuse_count(REASON_NOT_FOUND) - each;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_free) char *before = bench_state(b);
		SCOPED(scope_free) char *after = NULL;
		uint64_t count = refuse_count(REASON_NOT_FOUND);

		bench_begin_with(b, "service.install",
			json_pack("{s:s, s:s*}", "service", rows[i].service, "channel", rows[i].channel), &a);
		bench_settle(b);
		monitor_changed(b->t->m, MONITOR_CHANGE_METADATA); /* of a refresh that began before */
		bench_settle(b);
		assert_false(a.came);
		bench_publish(b, &r, bench_custom(1));
		bench_settle(b);
		assert_int_equal(a.came, rows[i].text != NULL);
		if (!rows[i].text)
			break;
		assert_int_equal(bench_end(b, &a, 1), REASON_NOT_FOUND);
		assert_int_equal(refuse_count(REASON_NOT_FOUND), count + each + 1);
		assert_string_equal(b->u->service, rows[i].service);
		assert_non_null(strstr(b->u->text, rows[i].text));
		assert_string_equal(b->u->reason, "not-found");
		bench_settle(b);
		after = bench_state(b);
		assert_string_equal(before, after);
	}
	update_fail_waiting(b->u, NULL, REFUSE(REASON_UNREACHABLE, "test", "as the test wants it"));
}

static void
what_is_not_there_is_not_found(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };

	bench_refused(b, bench_service(b, "service.remove", "redis"), REASON_NOT_FOUND);
	bench_refused(b, bench_service(b, "service.rights", "redis"), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "cluster.yaml names no such service"));
	bench_refused(b, bench_service(b, "update.rollback", "redis"), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "cluster.yaml names no such service"));
	bench_release(b, &r, "redis", "7", "redis");
	bench_active(b, r.hex, 1); /* it is not in the store */
	bench_refused(b, bench_service(b, "service.rights", "redis"), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "not in the store"));
	bench_refused(b, bench_service(b, "update.rollback", "redis"), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "no release ran before this one"));
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_NOT_FOUND);
}

/* A cluster.yaml that only a person can edit: then nothing of the service goes. */
static void
what_cannot_be_taken_out_of_the_file_stays_whole(void **state)
{
	static const char braces[] = "services: {redis:\n  {channel: stable}}\n";
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED(scope_free) char *before = NULL;
	SCOPED(scope_free) char *after = NULL;

	bench_release(b, &r, "redis", "7", "redis");
	bench_store(b, &r);
	bench_active(b, r.hex, 1);
	assert_int_equal(bench_control(b, "service.accept",
				 json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "operation", "item", "look")),
		0);
	bench_etc(b, "cluster.yaml", braces, strlen(braces));
	services_reload(b->t->m);
	bench_settle(b);
	before = bench_state(b);
	assert_int_equal(bench_service(b, "service.remove", "redis"), REASON_MALFORMED);
	after = bench_state(b);
	assert_string_equal(before, after);
}

/* The answer comes when the monitor knows it, too. */
static void
what_was_removed_is_gone_when_it_is_said(void **state)
{
	struct bench *b = *state;

	bench_etc(b, "cluster.yaml", bench_cluster, strlen(bench_cluster));
	services_reload(b->t->m);
	bench_settle(b);
	assert_int_equal(bench_service(b, "service.remove", "redis"), 0);
	bench_refused(b, bench_service(b, "service.remove", "redis"), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "cluster.yaml names no such service");
}

/* Nobody can be asked about cluster.yaml any more when the service is taken out of it. */
static void
what_was_removed_is_said_to_be_whoever_can_read_the_file(void **state)
{
	struct bench *b = *state;
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	char path[512];

	bench_etc(b, "cluster.yaml", bench_cluster, strlen(bench_cluster));
	services_reload(b->t->m);
	bench_settle(b);
	b->t->judge_fails = 1;
	assert_int_equal(bench_service(b, "service.remove", "redis"), 0);
	assert_int_equal(b->t->judge_fails, 0);
	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", b->t->paths.etc);
	assert_int_equal(fs_read(AT_FDCWD, path, text.max, &text), 0);
	assert_null(strstr(buf_text(&text), "redis"));
	assert_string_equal(site_last_leaf(b->t), "service redis remove");
}

static void
rights_are_accepted_by_name(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };

	bench_release(b, &r, "redis", "7", "redis");
	bench_store(b, &r);
	bench_active(b, r.hex, 1);
	bench_refused(b,
		bench_control(b, "service.accept",
			json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "operation",
				"item", "none")),
		REASON_NOT_FOUND);
	bench_refused(b,
		bench_control(b, "service.accept",
			json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "wish", "item",
				"look")),
		REASON_USAGE);
	bench_refused(b,
		bench_control(b, "service.accept",
			json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "collector",
				"item", "none")),
		REASON_NOT_FOUND);
	bench_refused(b,
		bench_control(b, "service.accept",
			json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "power", "item",
				"network=host")),
		REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "asks for no such power"));
	assert_int_equal(bench_control(b, "service.accept",
				 json_pack("{s:s, s:s, s:s}", "service", "redis", "kind",
					 "operation", "item", "look")),
		0);
	assert_string_equal(site_last_leaf(b->t), "accept look");
}

/* What runs never asked for it: the power is of what is to come. */
static void
powers_of_the_release_that_waits_are_accepted(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	SCOPED_JSON *rights = NULL;
	const json_t *staged;

	bench_release(b, &one, "redis", "7", "redis");
	bench_release_with(b, &two, "redis", "8", "redis", "network: host\n");
	bench_store(b, &one);
	bench_store(b, &two);
	bench_active(b, one.hex, 1);
	bench_publish(b, &one, bench_custom(1));
	bench_publish(b, &two, bench_custom(2));
	assert_int_equal(bench_assign(b, 1, two.target, two.hex), 0);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_NOT_APPROVED);
	assert_non_null(strstr(refuse_last()->text, "mainstay service accept redis power network=host"));
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "service.rights", json_pack("{s:s}", "service", "redis"), NULL, 0,
				 &rights),
		0);
	staged = json_array_get(json_object_get(json_object_get(rights, "staged"), "powers"), 0);
	assert_string_equal(json_text(staged, "name"), "network=host");
	assert_int_equal(bench_control(b, "service.accept",
				 json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "power", "item", "network=host")),
		0);
	assert_string_equal(site_last_leaf(b->t), "accept network=host");
	/* Operations stay those of what runs. */
	bench_refused(b,
		bench_control(b, "service.accept",
			json_pack("{s:s, s:s, s:s}", "service", "redis", "kind", "operation", "item", "network=host")),
		REASON_NOT_FOUND);
	{
		struct site_answer a;

		bench_begin_with(b, "update.apply", NULL, &a);
		for (unsigned i = 0; i < 5 && !b->u->run; i++)
			bench_turn(b);
		assert_non_null(b->u->run);
	}
}

static void
status_says_what_the_store_holds(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 };
	SCOPED_JSON *status = NULL;
	const json_t *store, *tree;

	bench_release(b, &one, "redis", "7", "redis");
	bench_store(b, &one);
	bench_active(b, one.hex, 1);
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.status", NULL, NULL, 0, &status), 0);
	store = json_object_get(status, "store");
	tree = json_array_get(json_object_get(store, "trees"), 0);
	assert_int_equal(json_array_size(json_object_get(store, "trees")), 1);
	assert_string_equal(json_text(tree, "release"), one.hex);
	assert_int_equal(json_integer_value(json_object_get(tree, "bytes")), 10);
	assert_int_equal(json_integer_value(json_object_get(store, "bytes")), 10);
}

/* --- apply, rollback ---------------------------------------------------------------------------------------- */
static void
a_plan_is_applied_only_as_it_was_shown(void **state)
{
	static const char held[] = "services:\n  redis:\n    channel: stable\n    hold: true\n";
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	SCOPED_JSON *plan = NULL;

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &one);
	bench_store(b, &two);
	bench_active(b, one.hex, 1);
	bench_publish(b, &one, bench_custom(1));
	bench_publish(b, &two, bench_custom(2));
	assert_int_equal(bench_assign(b, 1, two.target, two.hex), 0);
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.plan", NULL, NULL, 0, &plan), 0);
	assert_int_equal(json_array_size(json_object_get(plan, "items")), 1);
	bench_refused(b, bench_control(b, "update.apply", json_pack("{s:s}", "plan", "sha256:00")),
		REASON_STATE_MOVED);
	assert_int_equal(bench_control(b, "update.hold", NULL), 0);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_DENIED);
	assert_non_null(strstr(refuse_last()->text, "updates are held"));
	assert_int_equal(bench_control(b, "update.unhold", NULL), 0);
	bench_etc(b, "cluster.yaml", held, strlen(held));
	services_reload(b->t->m);
	bench_settle(b);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_DENIED);
	assert_non_null(strstr(refuse_last()->text, "cluster.yaml holds every service"));
	assert_int_equal(bench_assign(b, 2, one.target, one.hex), 0);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "nothing is there to apply"));
}

/* The history says that the running release came after this one. */
static void
came_after(struct bench *b, const char *from, const char *to)
{
	struct change c = { .n = 1, .items = { { .service = "redis", .step = CHANGE_GOOD } }, .started_us = 1 };

	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", from);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", to);
	assert_int_equal(update_remember(b->u, &c, &c.items[0]), 0);
}

static void
back_only_to_what_is_whole(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	char name[96];

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_active(b, two.hex, 2);
	came_after(b, one.hex, two.hex);
	bench_refused(b, bench_service(b, "update.rollback", "redis"), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "not in the store any more"));
	(void)snprintf(name, sizeof(name), "%s.json", one.hex);
	assert_int_equal(fs_replace(b->u->store_fd, name, two.index.data, two.index.len, 0644), 0);
	bench_refused(b, bench_service(b, "update.rollback", "redis"), REASON_ALTERED);
}

static void
one_change_at_a_time(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	struct change c = {
		.id = "00", .n = 1, .items = { { .service = "redis", .step = CHANGE_HEALTH } }, .started_us = 1
	};

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &one);
	bench_active(b, two.hex, 2);
	came_after(b, one.hex, two.hex);
	assert_int_equal(update_save(b->u), 0);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", one.hex);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", two.hex);
	assert_int_equal(change_save(&c, b->u->journal_fd), 0);
	bench_restart(b); /* goes on waiting for health */
	assert_non_null(b->u->run);
	bench_refused(b, bench_service(b, "update.rollback", "redis"), REASON_BUSY);
	bench_refused(b, bench_service(b, "service.remove", "redis"), REASON_BUSY);
}

static int
find_reason(const struct audit_entry *e, void *arg)
{
	(void)snprintf(arg, 64, "%s", e->reason);
	return 0;
}

/* Half an hour of the week is open, and it is another. */
static void
outside_its_hours_a_change_is_a_persons_own_word(void **state)
{
	static const char policy[] = "{\"rules\":[],\"v\":1,\"windows\":{\"updates\":[\"%s\"]}}";
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	SCOPED_JSON *plan = NULL;
	struct site_answer a;
	char text[256], found[64] = "";

	(void)snprintf(text, sizeof(text), policy,
		clock_now_us() / 3600 / CLOCK_US_PER_S % 24 < 12 ? "20:00-20:30" : "06:00-06:30");
	policy_free(b->t->m->policy);
	assert_int_equal(policy_parse(&b->t->m->policy, text, strlen(text)), 0);
	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &one);
	bench_active(b, two.hex, 2);
	came_after(b, one.hex, two.hex);
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.plan", NULL, NULL, 0, &plan), 0);
	assert_true(json_is_false(json_object_get(json_object_get(plan, "window"), "open")));
	assert_non_null(json_object_get(json_object_get(plan, "window"), "opens"));
	bench_begin(b, "update.rollback", "redis", &a);
	bench_settle(b);
	assert_true(b->u->outside);
	assert_int_equal(audit_each(b->t->m->audit, &(struct audit_filter){ .kind = "update" }, find_reason,
				 found),
		0);
	assert_string_equal(found, "outside-window");
	/* It does not become healthy here: back again, and the command hears of it. */
	clock_fake(clock_now_us() + 61 * CLOCK_US_PER_S, clock_mono_us() + 61 * CLOCK_US_PER_S);
	for (unsigned i = 0; i < 400 && !a.came; i++) /* the clock stands still */
		bench_turn(b);
	assert_true(a.came);
	assert_int_equal(bench_end(b, &a, 1), REASON_STATE_MOVED);
	assert_string_equal(a.why.operand, "redis");
	assert_int_equal(strncmp(a.why.text, "start: ", 7), 0);
	assert_non_null(strstr(a.why.text, "; now redis 7 is stopped, health unknown"));
	clock_real();
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(only_a_recorded_site_with_the_switch_on_installs),
		BENCH_TEST(what_runs_is_not_installed_again),
		BENCH_TEST(a_cluster_file_that_is_no_one_is_left_alone),
		BENCH_TEST(the_ninth_command_that_would_wait_changes_nothing),
		BENCH_TEST(an_install_without_an_assignment_ends),
		BENCH_TEST(an_install_goes_by_what_the_file_says_now),
		BENCH_TEST(an_install_that_nobody_could_read_ends),
		BENCH_TEST(an_install_of_what_nobody_signed_ends),
		BENCH_TEST(what_is_not_there_is_not_found),
		BENCH_TEST(powers_of_the_release_that_waits_are_accepted),
		BENCH_TEST(status_says_what_the_store_holds),
		BENCH_TEST(what_cannot_be_taken_out_of_the_file_stays_whole),
		BENCH_TEST(what_was_removed_is_gone_when_it_is_said),
		BENCH_TEST(what_was_removed_is_said_to_be_whoever_can_read_the_file),
		BENCH_TEST(rights_are_accepted_by_name),
		BENCH_TEST(a_plan_is_applied_only_as_it_was_shown),
		BENCH_TEST(back_only_to_what_is_whole),
		BENCH_TEST(one_change_at_a_time),
		BENCH_TEST(outside_its_hours_a_change_is_a_persons_own_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
