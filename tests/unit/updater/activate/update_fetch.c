/* What the courier brings: an assigned release is installed only if the targets role signed it for this site. */
#include "tests/unit/updater/activate/bench.h"

#include "updater/activate/stage.h"

static int
courier(struct bench *b, const char *verb, json_t *take_params)
{
	return bench_call(b, CALL_ROLE_COURIER, verb, take_params, NULL, 0, NULL);
}

static void
nothing_is_taken_with_the_switch_off(void **state)
{
	struct bench *b = *state;
	char hex[65];

	memset(hex, '1', 64);
	hex[64] = '\0';
	bench_switch(b, "false");
	bench_refused(b, bench_assign(b, 1, "services/redis/7/index.json", hex),
		REASON_SWITCHED_OFF);
	bench_refused(b, courier(b, "update.objects", NULL), REASON_SWITCHED_OFF);
	assert_false(b->u->has_assignment);
}

static void
without_a_card_there_is_no_director(void **state)
{
	struct bench *b = *state;
	char hex[65];

	memset(hex, '1', 64);
	hex[64] = '\0';
	assert_int_equal(unlinkat(b->t->m->dir_fd, "site.json", 0), 0);
	bench_restart(b);
	bench_refused(b, bench_assign(b, 1, "services/redis/7/index.json", hex),
		REASON_UNKNOWN_KEY);
	assert_non_null(strstr(refuse_last()->text, "the trust card names no director"));
	assert_string_equal(site_last_leaf(b->t), "refuse assignment unknown-key");
}

/* Whoever brings them without end must not fill the disk by it. */
static void
a_flood_of_refused_assignments_leaves_few_leaves(void **state)
{
	struct bench *b = *state;
	uint64_t before;
	char hex[65];

	memset(hex, '1', 64);
	hex[64] = '\0';
	assert_int_equal(unlinkat(b->t->m->dir_fd, "site.json", 0), 0);
	bench_restart(b);
	before = audit_size(b->t->m->audit);
	for (unsigned i = 0; i < 70; i++)
		assert_int_equal(bench_assign(b, 1, "services/redis/7/index.json", hex), REASON_UNKNOWN_KEY);
	assert_int_equal(audit_size(b->t->m->audit), before + 1); /* the rest is one more, with their number, in a minute */
}

static void
an_object_that_the_hub_lacks_ends_the_install(void **state)
{
	struct bench *b = *state;
	struct site_answer a;
	uint64_t before;

	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	before = refuse_count(REASON_NOT_FOUND);
	assert_int_equal(courier(b, "update.objects", json_pack("{s:s}", "absent", "abcd")), 0);
	assert_int_equal(bench_end(b, &a, 1), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_null(b->u->run);
}

/* What the customer can mend is told; what came stays, and so does what else the courier may say. */
static void
a_full_disk_ends_the_install(void **state)
{
	struct bench *b = *state;
	struct site_answer a;
	uint64_t before;

	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	bench_file(b, "incoming/objects", "kept", "x", 1);
	before = refuse_count(REASON_NO_SPACE);
	assert_int_equal(courier(b, "update.objects", json_pack("{s:s}", "trouble", "bad-signature")), 0);
	assert_false(a.came);
	assert_int_equal(courier(b, "update.objects", json_pack("{s:s}", "trouble", "no-space")), 0);
	assert_int_equal(bench_end(b, &a, 1), REASON_NO_SPACE);
	assert_int_equal(refuse_count(REASON_NO_SPACE), before + 1);
	assert_string_equal(b->u->reason, "no-space");
	assert_int_equal(faccessat(b->u->incoming_fd, "objects/kept", F_OK, 0), 0);
	assert_null(b->u->run);
}

static void
a_signed_release_is_staged_and_started(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct site_answer a;
	struct lock lock;
	struct stat st;

	bench_release(b, &r, "redis", "7", "redis");
	bench_publish(b, &r, bench_custom(1));
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_int_equal(bench_assign(b, 1, r.target, r.hex), 0);
	assert_int_equal(courier(b, "update.objects", NULL), 0);
	assert_null(b->u->run); /* it is staged first */
	for (unsigned i = 0; i < 100 && !b->u->run; i++)
		bench_turn(b);
	assert_non_null(b->u->run);
	/* Whole in the store; but nothing here is a shim, so it does not come to run, and goes back. */
	assert_int_equal(bench_end(b, &a, 10), REASON_STATE_MOVED);
	assert_int_equal(fstatat(b->u->store_fd, r.hex, &st, 0), 0);
	assert_string_equal(b->u->state, "rolled-back");
	assert_int_equal(lock_read(&lock, &b->t->paths), 0);
	assert_null(lock_find(&lock, "redis"));
}

/* What a pack brought is other bytes: the objects are asked for by themselves, and only if they are no better the install
 * ends, with one leaf. */
static void
objects_of_other_bytes_are_asked_for_once_more(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	char name[OBJECT_NAME_MAX], path[OBJECT_NAME_MAX + 16];
	struct site_answer a;
	uint64_t leaves;

	bench_release(b, &r, "redis", "7", "redis");
	bench_publish(b, &r, bench_custom(1));
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_int_equal(bench_assign(b, 1, r.target, r.hex), 0);
	(void)snprintf(path, sizeof(path), "objects/%s", object_name(name, r.program));
	leaves = audit_size(b->t->m->audit);
	for (unsigned round = 0; round < 2; round++) {
		SCOPED_JSON *answer = NULL;
		SCOPED(scope_close) int fd = openat(b->u->incoming_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, "garbage", 7), 7);
		assert_false(a.came);
		assert_int_equal(bench_call(b, CALL_ROLE_COURIER, "update.objects", NULL, NULL, 0, &answer), 0);
		assert_int_equal(json_array_size(json_object_get(answer, "missing")), 0);
		bench_settle(b);
		assert_int_equal(faccessat(b->u->incoming_fd, path, F_OK, 0), -1);
		assert_int_equal(faccessat(b->u->incoming_fd, "objects/" STAGE_PACKS_BAD, F_OK, 0), -(int)round);
		assert_int_equal(audit_size(b->t->m->audit), leaves + round);
	}
	assert_int_equal(bench_end(b, &a, 1), REASON_MALFORMED);
	assert_string_equal(site_last_leaf(b->t), "refuse redis malformed");
	assert_string_equal(b->u->reason, "malformed");
	assert_null(b->u->run);
}

/* An install waits; the release is published with this custom metadata and assigned: the install ends so. */
static void
refuse_custom(struct bench *b, const char *member, json_t *take_value, enum reason why)
{
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	json_t *custom = bench_custom(1);
	struct site_answer a;
	uint64_t before;

	bench_release(b, &r, "redis", "7", "redis");
	json_object_set_new(custom, member, take_value);
	bench_publish(b, &r, custom);
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	before = refuse_count(why);
	assert_int_equal(bench_assign(b, b->version, r.target, r.hex), 0);
	assert_int_equal(bench_end(b, &a, 1), why);
	assert_int_equal(refuse_count(why), before + 1);
	assert_string_equal(b->u->state, "idle");
	assert_string_equal(b->u->reason, refuse_token(why));
	assert_null(b->u->run);
}

static void
a_release_for_others_is_refused(void **state)
{
	struct bench *b = *state;

	refuse_custom(b, "class", json_string("core"), REASON_NOT_APPROVED);
	assert_string_equal(site_last_leaf(b->t), "refuse redis not-approved");
	refuse_custom(b, "class", json_string("other"), REASON_MALFORMED);
	refuse_custom(b, "counter", json_integer(-1), REASON_MALFORMED);
	refuse_custom(b, "counter", json_string("1"), REASON_MALFORMED);
	refuse_custom(b, "platform", json_string("plan9-mips"), REASON_WRONG_ADDRESSEE);
	assert_string_equal(site_last_leaf(b->t), "refuse redis wrong-addressee");
	assert_int_equal(unlinkat(b->u->journal_fd, "change.json", 0), -1);
}

static void
other_bytes_than_were_signed_are_refused(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 }, other = { 0 };
	struct site_answer a;
	char path[512];

	bench_release(b, &r, "redis", "7", "redis");
	bench_release(b, &other, "redis", "8", "redis");
	bench_publish(b, &r, bench_custom(1));
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_int_equal(bench_assign(b, 1, r.target, other.hex), 0);
	assert_int_equal(bench_end(b, &a, 1), REASON_HASH_MISMATCH);
	/* The index is a link: the courier chooses no file of ours. */
	(void)snprintf(path, sizeof(path), "tuf/targets/services/redis/7/%s.index.json", r.hex);
	assert_int_equal(unlinkat(b->u->incoming_fd, path, 0), 0);
	assert_int_equal(symlinkat("/etc/hostname", b->u->incoming_fd, path), 0);
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_int_equal(bench_assign(b, 2, r.target, r.hex), 0);
	assert_int_equal(bench_end(b, &a, 1), REASON_UNSAFE_TREE);
	assert_string_equal(site_last_leaf(b->t), "refuse redis unsafe-tree");
	assert_null(b->u->run);
}

static void
an_index_of_another_service_is_refused(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct site_answer a;

	bench_release(b, &r, "nginx", "7", "nginx");
	bench_publish(b, &r, bench_custom(1));
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	assert_int_equal(bench_assign(b, 1, r.target, r.hex), 0);
	assert_int_equal(bench_end(b, &a, 1), REASON_ALTERED);
	assert_string_equal(b->u->reason, "altered");
	assert_null(b->u->run);
}

static void
an_older_release_is_refused_with_one_leaf(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	uint64_t leaves;

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_publish(b, &one, bench_custom(1));
	bench_publish(b, &two, bench_custom(2));
	bench_active(b, two.hex, 2);
	leaves = audit_size(b->t->m->audit);
	assert_int_equal(bench_assign(b, 1, one.target, one.hex), 0);
	assert_string_equal(b->u->reason, "rollback");
	assert_string_equal(site_last_leaf(b->t), "refuse redis rollback");
	assert_int_equal(bench_assign(b, 1, one.target, one.hex),
		0); /* asked for again and again */
	assert_int_equal(audit_size(b->t->m->audit), leaves + 1);
	bench_refused(b, bench_control(b, "update.apply", NULL), REASON_NOT_FOUND);
}

/* The targets role says so of releases that it signed before; other services and releases are none of it. */
static void
what_the_targets_role_takes_back_is_refused(void **state)
{
	static const struct {
		const char *beside;
		enum reason why;
		const char *text;
	} rows[] = {
		{ "{\"x-mainstay-floors\":{\"redis\":2}}", REASON_ROLLBACK, "below 2, the floor of redis" },
		{ "{\"x-mainstay-floors\":{\"redis\":1,\"nginx\":9}}", REASON_NONE, "" },
		{ "{\"x-mainstay-withdrawn\":{\"services/redis/7/index.json\":\"it loses keys\"}}", REASON_REVOKED,
			"withdrawn: it loses keys" },
		{ "{\"x-mainstay-withdrawn\":{\"services/redis/6/index.json\":\"old\"}}", REASON_NONE, "" },
	};
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };

	bench_release(b, &r, "redis", "7", "redis");
	bench_etc(b, "cluster.yaml", bench_cluster, strlen(bench_cluster));
	services_reload(b->t->m);
	bench_settle(b);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct assignment_release a = { .service = "redis" };
		struct update_release rel;
		uint64_t before = refuse_count(rows[i].why);

		(void)snprintf(a.target, sizeof(a.target), "%s", r.target);
		assert_true(hex_decode(a.sha256, sizeof(a.sha256), r.hex));
		json_decref(b->beside);
		b->beside = json_loads(rows[i].beside, 0, NULL);
		bench_publish(b, &r, bench_custom(1));
		before = refuse_count(rows[i].why);
		assert_int_equal(update_release_load(b->u, &a, &rel), rows[i].why);
		if (!rows[i].why) {
			update_release_done(&rel);
			continue;
		}
		assert_int_equal(refuse_count(rows[i].why), before + 1);
		assert_non_null(strstr(refuse_last()->text, rows[i].text));
	}
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(nothing_is_taken_with_the_switch_off),
		BENCH_TEST(without_a_card_there_is_no_director),
		BENCH_TEST(a_flood_of_refused_assignments_leaves_few_leaves),
		BENCH_TEST(an_object_that_the_hub_lacks_ends_the_install),
		BENCH_TEST(a_full_disk_ends_the_install),
		BENCH_TEST(a_signed_release_is_staged_and_started),
		BENCH_TEST(objects_of_other_bytes_are_asked_for_once_more),
		BENCH_TEST(a_release_for_others_is_refused),
		BENCH_TEST(other_bytes_than_were_signed_are_refused),
		BENCH_TEST(an_index_of_another_service_is_refused),
		BENCH_TEST(an_older_release_is_refused_with_one_leaf),
		BENCH_TEST(what_the_targets_role_takes_back_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
