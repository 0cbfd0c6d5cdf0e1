/* What is refused before a change touches anything. */
#include "tests/unit/updater/activate/bench.h"

#include "appliance/monitor/monitor.h"
#include "appliance/service/accepted.h"
#include "tests/fakes/refused.h"
#include "updater/activate/change_check.h"

#define KNOB "knobs:\n  size: {type: int, min: 1, max: 9, default: 2}\n"

static const struct {
	const char *name;
	const char *from, *to; /* beside the rest of their definitions; from NULL: a first install */
	const char *knobs;     /* of cluster.yaml */
	const char *power;     /* accepted */
	enum change_kind kind;
	int r;
	const char *operand, *text;
	bool one_way;
} rows[] = {
	{ "nothing asked, nothing refused", "", "", "", NULL, CHANGE_APPLY, 0, "", "", false },
	{ "a knob that the release knows", "", KNOB, "size: 3", NULL, CHANGE_APPLY, 0, "", "", false },
	{ "a knob that is gone", KNOB, "", "size: 3", NULL, CHANGE_APPLY, REASON_UNKNOWN_FIELD,
		"cluster.yaml", "services.redis.knobs.size: release 8 has no such knob", false },
	{ "a release of the core", "", "class: core\n", "", NULL, CHANGE_APPLY, REASON_CONFLICT, "redis",
		"is one of the core, not of a service", false },
	{ "a knob out of its new bounds", "knobs:\n  size: {type: int, min: 1, max: 90, default: 2}\n", KNOB, "size: 30", NULL,
		CHANGE_APPLY, REASON_MALFORMED, "cluster.yaml",
		"services.redis.knobs.size: 30 is not from 1 to 9, says release 8: mainstay service set redis size=VALUE", false },
	{ "a knob of another type", KNOB, KNOB, "size: much", NULL, CHANGE_APPLY, REASON_MALFORMED, "cluster.yaml",
		"services.redis.knobs.size: \"much\" is no whole number", false },
	{ "a service that is not there", "", "requires: {services: [nginx]}\n", "", NULL, CHANGE_APPLY, REASON_CONFLICT,
		"redis", "mainstay service install nginx", false },
	{ "more disk than there is", "", "requires: {disk: 1000000gb}\n", "", NULL, CHANGE_APPLY, REASON_NO_SPACE, "redis",
		"requires 1000000 GiB of disk beside a reserve of", false },
	{ "more memory than there is", "", "requires: {memory: 4096gb}\n", "", "require.memory=4398046511104",
		CHANGE_APPLY, REASON_CONFLICT, "redis", "requires 4 TiB of memory", false },
	{ "data that it cannot read", "data: {format: two}\n", "data: {format: one}\n", "", NULL, CHANGE_APPLY,
		REASON_CONFLICT, "redis", "cannot go on with data of format \"two\"", false },
	{ "data that goes one way", "data: {format: one}\n", "data: {format: two, accepts: [one]}\n", "", NULL,
		CHANGE_APPLY, 0, "", "", true },
	{ "data that both read", "data: {format: one, accepts: [two]}\n", "data: {format: two, accepts: [one]}\n", "",
		NULL, CHANGE_APPLY, 0, "", "", false },
	{ "a power that nobody accepted", "", "network: host\n", "", NULL, CHANGE_APPLY, REASON_NOT_APPROVED, "redis",
		"mainstay service accept redis power network=host", false },
	{ "a hook that nobody accepted", "", "hooks: {snapshot: {argv: [/bin/run]}}\n", "", NULL, CHANGE_AUTO,
		REASON_NOT_APPROVED, "redis", "power hook.snapshot=sha256:", false },
	{ "a power that was accepted", "", "network: host\n", "", "network=host", CHANGE_APPLY, 0, "", "", false },
	{ "an install accepts them", NULL, "network: host\n", "", NULL, CHANGE_INSTALL, 0, "", "", false },
};

static void
accept_power(struct bench *b, const char *power)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;

	assert_int_equal(accepted_load(&a, monitor_dir(b->t->m)), 0);
	assert_int_equal(accepted_forget(a, "redis"), 0);
	if (power)
		assert_int_equal(accepted_add_power(a, "redis", power), 0);
	assert_int_equal(accepted_save(a, monitor_dir(b->t->m)), 0);
}

static void
check_row(struct bench *b, size_t i)
{
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	struct change c = { .kind = rows[i].kind, .n = 1, .items = { { .service = "redis" } } };
	SCOPED(scope_free) char *before = NULL;
	SCOPED(scope_free) char *after = NULL;
	char yaml[256];
	uint64_t count;
	int r;

	bench_release_with(b, &one, "redis", "7", "redis", rows[i].from ? rows[i].from : "");
	bench_release_with(b, &two, "redis", "8", "redis", rows[i].to);
	bench_store(b, &one);
	bench_store(b, &two);
	bench_active(b, rows[i].from ? one.hex : NULL, 1);
	(void)snprintf(yaml, sizeof(yaml), "services:\n  redis:\n    channel: stable\n%s%s\n",
		*rows[i].knobs ? "    knobs:\n      " : "", rows[i].knobs);
	bench_etc(b, "cluster.yaml", yaml, strlen(yaml));
	services_reload(b->t->m);
	bench_settle(b);
	accept_power(b, rows[i].power);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", rows[i].from ? one.hex : "");
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", two.hex);
	before = bench_state(b);
	count = rows[i].r ? refuse_count((enum reason)rows[i].r) : 0;
	r = change_check(b->t->m, &c, 0);
	if (r != rows[i].r)
		fail_msg("%s: %d, %s: %s", rows[i].name, r, refuse_last()->operand, refuse_last()->text);
	if (r && (strcmp(refuse_last()->operand, rows[i].operand) != 0 || !strstr(refuse_last()->text, rows[i].text)))
		fail_msg("%s: %s: %s", rows[i].name, refuse_last()->operand, refuse_last()->text);
	if (r)
		assert_int_equal(refuse_count((enum reason)r), count + 1);
	assert_int_equal(c.items[0].one_way, rows[i].one_way);
	if (r && strcmp(rows[i].operand, "cluster.yaml") == 0)
		assert_string_equal(refuse_last()->place, "cluster.yaml:5:13");
	after = bench_state(b);
	assert_string_equal(before, after);
}

static void
each_release_is_held_against_what_is_there(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(*state, i);
}

/* What it requires goes in before it, in the same change. */
static void
a_required_service_may_come_along(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct change c = { .n = 2, .items = { { .service = "nginx" }, { .service = "redis" } } };

	bench_release_with(b, &r, "redis", "7", "redis", "requires: {services: [nginx]}\n");
	bench_store(b, &r);
	bench_active(b, NULL, 0);
	(void)snprintf(c.items[1].to, sizeof(c.items[1].to), "%s", r.hex);
	assert_int_equal(change_check(b->t->m, &c, 1), 0);
	assert_string_equal(c.items[1].snapshot, "");
}

/* The name of a snapshot is there before the hook that makes it. */
static void
a_snapshot_has_its_name_from_the_check(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	struct change c = { .n = 1, .items = { { .service = "redis" } } };
	char first[33];

	bench_release_with(b, &one, "redis", "7", "redis",
		"hooks: {snapshot: {argv: [/bin/run]}, restore: {argv: [/bin/run]}}\n");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &one);
	bench_store(b, &two);
	bench_active(b, one.hex, 1);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", one.hex);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", two.hex);
	assert_int_equal(change_check(b->t->m, &c, 0), 0);
	assert_int_equal(strlen(c.items[0].snapshot), 32);
	assert_true(c.items[0].restores);
	memcpy(first, c.items[0].snapshot, sizeof(first));
	assert_int_equal(change_check(b->t->m, &c, 0), 0); /* taken again after a crash */
	assert_string_equal(c.items[0].snapshot, first);
}

/* Data comes back from a snapshot alone, by a hook of the release that will read it. */
static void
data_that_cannot_be_brought_back(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	struct change c = { .n = 1, .items = { { .service = "redis", .restore = "00000000000000000000000000000000" } } };

	bench_release_with(b, &one, "redis", "7", "redis",
		"hooks: {snapshot: {argv: [/bin/run]}, restore: {argv: [/bin/run]}}\n");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &one);
	bench_store(b, &two);
	bench_active(b, one.hex, 1);
	accept_power(b, NULL);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", one.hex);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", two.hex);
	assert_refused(change_check(b->t->m, &c, 0), REASON_CONFLICT, "release 8 has no hook that restores a snapshot");
	assert_string_equal(refuse_last()->operand, "redis");
	bench_active(b, two.hex, 2);
	(void)snprintf(c.items[0].from, sizeof(c.items[0].from), "%s", two.hex);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", one.hex);
	c.kind = CHANGE_ROLLBACK;
	assert_refused(change_check(b->t->m, &c, 0), REASON_NOT_FOUND,
		"snapshot 00000000000000000000000000000000 is not kept any more");
	assert_string_equal(refuse_last()->operand, "redis");
	assert_false(c.items[0].restores);
}

static void
a_release_that_is_not_in_the_store(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct definition *d = NULL;

	bench_release(b, &r, "redis", "7", "redis");
	assert_refused(change_definition(b->t->m, r.hex, &d), REASON_NOT_FOUND, "that release is not in the store");
	assert_string_equal(refuse_last()->operand, r.hex);
	assert_null(d);
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(each_release_is_held_against_what_is_there),
		BENCH_TEST(a_required_service_may_come_along),
		BENCH_TEST(data_that_cannot_be_brought_back),
		BENCH_TEST(a_release_that_is_not_in_the_store),
		BENCH_TEST(a_snapshot_has_its_name_from_the_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
