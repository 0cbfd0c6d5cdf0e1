#include "updater/rollout/director.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "appliance/trust/envelope.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/hub_bench.h"

#define EXPIRES (BENCH_NOW + UINT64_C(864000000000))

static const struct serve_module *const modules[] = { &director_module, NULL };

/* --- a repository ------------------------------------------------------------------------------------------------- */
static struct {
	struct scratch repo, own, tuf;
	struct ed25519 *key, *role; /* of all top roles; of the role that redis is delegated to */
	struct tuf_local *view;
	unsigned version;
} vendor;

static void
publish(const char *name, json_t *take_signed, const struct ed25519 *key, struct buf *out)
{
	buf_reset(out);
	assert_int_equal(tuf_repo_sign(out, take_signed, &key, 1), 0);
	json_decref(take_signed);
	scratch_write(&vendor.tuf, name, out->data, out->len);
}

static void
publish_root(struct buf *text)
{
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	json_t *root = tuf_repo_new("root", 1, EXPIRES), *keys = json_object(), *roles = json_object();
	uint8_t raw[1][32];

	memcpy(raw[0], ed25519_public(vendor.key), 32);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_object_set_new(roles, names[i], tuf_repo_role(keys, (const uint8_t (*)[32])raw, 1, 1));
	json_object_set_new(root, "roles", roles);
	json_object_set_new(root, "keys", keys);
	json_object_set_new(root, "consistent_snapshot", json_true());
	publish("1.root.json", root, vendor.key, text);
}

static json_t *
delegations(void)
{
	json_t *keys = json_object(), *role;
	uint8_t raw[1][32];

	memcpy(raw[0], ed25519_public(vendor.role), 32);
	role = tuf_repo_role(keys, (const uint8_t (*)[32])raw, 1, 1);
	json_object_set_new(role, "name", json_string("redis"));
	json_object_set_new(role, "terminating", json_true());
	json_object_set_new(role, "paths", json_pack("[s]", "services/redis/*/*"));
	return json_pack("{s:o, s:[o]}", "keys", keys, "roles", role);
}

/* The repository's next version: the targets role says this ({"targets":...} and more), and, where delegated is not NULL, the
 * role that redis is delegated to says that. */
static void
vendor_says(const char *targets, const char *delegated)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(65536), role = BUF_MAX(65536);
	json_t *doc = json_loads(targets, 0, NULL), *meta = json_object(), *top, *said;
	unsigned v = ++vendor.version;
	char name[64];

	assert_non_null(doc);
	top = tuf_repo_new("targets", v, EXPIRES);
	json_object_update(top, doc);
	json_decref(doc);
	if (delegated)
		json_object_set_new(top, "delegations", delegations());
	/* A role that is delegated no more stays listed. */
	said = tuf_repo_new("targets", v, EXPIRES);
	doc = json_loads(delegated ? delegated : "{\"targets\":{}}", 0, NULL);
	assert_non_null(doc);
	json_object_update(said, doc);
	json_decref(doc);
	(void)snprintf(name, sizeof(name), "%u.redis.json", v);
	publish(name, said, vendor.role, &role);
	json_object_set_new(meta, "redis.json", tuf_repo_meta(role.data, role.len, v));
	(void)snprintf(name, sizeof(name), "%u.targets.json", v);
	publish(name, top, vendor.key, &text);
	json_object_set_new(meta, "targets.json", tuf_repo_meta(text.data, text.len, v));
	top = tuf_repo_new("snapshot", v, EXPIRES);
	json_object_set_new(top, "meta", meta);
	(void)snprintf(name, sizeof(name), "%u.snapshot.json", v);
	publish(name, top, vendor.key, &text);
	top = tuf_repo_new("timestamp", v, EXPIRES);
	json_object_set_new(top, "meta", json_pack("{s:o}", "snapshot.json", tuf_repo_meta(text.data, text.len, v)));
	publish("timestamp.json", top, vendor.key, &text);
}

static int
setup(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);

	(void)state;
	scratch_make(&vendor.repo);
	scratch_make(&vendor.own);
	assert_int_equal(mkdirat(vendor.repo.fd, "tuf", 0700), 0);
	vendor.tuf.fd = openat(vendor.repo.fd, "tuf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ed25519_generate(&vendor.key), 0);
	assert_int_equal(ed25519_generate(&vendor.role), 0);
	publish_root(&text);
	assert_int_equal(tuf_local_open(&vendor.view, vendor.repo.path, vendor.own.fd), 0);
	bench.repo = vendor.view;
	bench_open(modules);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	bench_close();
	vendor.view = tuf_local_close(vendor.view);
	vendor.key = ed25519_free(vendor.key);
	vendor.role = ed25519_free(vendor.role);
	scope_close(&vendor.tuf.fd);
	scratch_remove(&vendor.repo);
	scratch_remove(&vendor.own);
	vendor.version = 0;
	return 0;
}

/* --- which release -------------------------------------------------------------------------------------------------- */
#define TARGET_OF(path, digit, channel, platform, class, counter)                                  \
	"\"" path "\":{\"length\":1,\"hashes\":{\"sha256\":\"" digit "000000000000000000000000000000000000000000000000000000000000000"  \
	"\"},\"custom\":{\"channel\":\"" channel "\",\"platform\":\"" platform "\",\"class\":\"" class "\",\"counter\":" #counter \
	"}}"
#define TARGET(version, channel, platform, class, counter) \
	TARGET_OF("services/redis/" version "/index.json", "1", channel, platform, class, counter)
#define TARGETS(rows) "{\"targets\":{" rows "}}"
#define BOTH	      TARGET_OF("services/redis/1/index.json", "1", "stable", "p", "service", 1) "," TARGET_OF("services/redis/2/index.json", "2", "stable", "p", "service", 2)
#define ONE	      "1000000000000000000000000000000000000000000000000000000000000000"
#define TWO	      "2000000000000000000000000000000000000000000000000000000000000000"

static void
test_the_newest_release_that_fits(void **state)
{
	static const struct {
		const char *what, *service, *targets, *delegated, *runs, *newest;
	} rows[] = {
		{ "nothing there, nothing assigned", "redis", TARGETS(""), NULL, "", NULL },
		{ "the highest counter wins, not the highest name", "redis",
			TARGETS(TARGET("9", "stable", "p", "service", 1) "," TARGET("10", "stable", "p", "service", 2)), NULL, "",
			"services/redis/10/index.json" },
		{ "another channel is not ours", "redis", TARGETS(TARGET("1", "beta", "p", "service", 9)), NULL, "", NULL },
		{ "another platform is not ours", "redis", TARGETS(TARGET("1", "stable", "q", "service", 9)), NULL, "", NULL },
		{ "core releases are not assigned so", "redis", TARGETS(TARGET("1", "stable", "p", "core", 9)), NULL, "", NULL },
		{ "a counter that is text is none", "redis", TARGETS(TARGET("1", "stable", "p", "service", "9")), NULL, "", NULL },
		{ "a longer name is another service", "redis",
			TARGETS(TARGET_OF("services/redis2/1/index.json", "1", "stable", "p", "service", 1)), NULL, "", NULL },
		{ "a deeper path is no release", "redis",
			TARGETS(TARGET_OF("services/redis/1/2/index.json", "1", "stable", "p", "service", 1)), NULL, "", NULL },
		{ "the core is assigned by its own name and class", "mainstay",
			TARGETS(TARGET_OF("services/mainstay/1/index.json", "1", "stable", "p", "core", 1) "," TARGET_OF(
				"services/mainstay/2/index.json", "2", "stable", "p", "service", 2)),
			NULL, "", "services/mainstay/1/index.json" },
		{ "what its own signers released", "redis", TARGETS(""), TARGETS(BOTH), "", "services/redis/2/index.json" },
		{ "what the targets role lists goes before its signers' word", "redis",
			TARGETS(TARGET("2", "beta", "p", "service", 9)), TARGETS(BOTH), "", "services/redis/1/index.json" },
		{ "signers of one service speak for no other", "mainstay", TARGETS(""),
			TARGETS(TARGET_OF("services/mainstay/1/index.json", "1", "stable", "p", "core", 1)), "", NULL },
		{ "below the floor", "redis", "{\"targets\":{" BOTH "},\"x-mainstay-floors\":{\"redis\":3}}", NULL, "", NULL },
		{ "at the floor", "redis", "{\"targets\":{" BOTH "},\"x-mainstay-floors\":{\"redis\":2}}", NULL, "",
			"services/redis/2/index.json" },
		{ "a floor is the targets role's to say", "redis", TARGETS(""),
			"{\"targets\":{" BOTH "},\"x-mainstay-floors\":{\"redis\":3}}", "", "services/redis/2/index.json" },
		{ "withdrawn", "redis", "{\"targets\":{" BOTH "},\"x-mainstay-withdrawn\":{\"services/redis/2/index.json\":\"bad\"}}",
			NULL, "", "services/redis/1/index.json" },
		{ "withdrawn by its own signers", "redis", TARGETS(""),
			"{\"targets\":{" BOTH "},\"x-mainstay-withdrawn\":{\"services/redis/2/index.json\":\"bad\"}}", "",
			"services/redis/1/index.json" },
		{ "what runs already is assigned again", "redis", TARGETS(BOTH), NULL, TWO, "services/redis/2/index.json" },
		{ "nothing older than what runs", "redis",
			"{\"targets\":{" BOTH "},\"x-mainstay-withdrawn\":{\"services/redis/2/index.json\":\"bad\"}}", NULL, TWO, NULL },
		{ "of what is newer than what runs", "redis", TARGETS(BOTH), NULL, ONE, "services/redis/2/index.json" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct director_ask ask = { rows[i].service, "stable", "p", rows[i].runs };
		struct tuf_target t = { 0 };
		int r;

		vendor_says(rows[i].targets, rows[i].delegated);
		assert_int_equal(tuf_local_refresh(vendor.view, BENCH_NOW), 0);
		r = director_newest(vendor.view, &ask, &t);
		if (r != (rows[i].newest ? 0 : REASON_NOT_FOUND) || strcmp(t.path, rows[i].newest ? rows[i].newest : "") != 0)
			fail_msg("%s: %d %s", rows[i].what, r, t.path);
	}
}

/* --- what a site is answered ------------------------------------------------------------------------------------------ */
static void
site_says(const char *statement)
{
	assert_int_equal(registry_statement_put(bench_db(), "acme-1", BENCH_NOW, "{}", statement), 0);
}

static struct bench_call *
ask(void)
{
	return bench_ask(bench.courier, "GET", "/assignments/acme-1", NULL, 0);
}

/* What the call was answered, opened with the director's key; the caller's. */
static json_t *
assigned(struct bench_call *c)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;

	assert_int_equal(c->status, 200);
	assert_int_equal(envelope_open(&e, MESSAGE_ASSIGNMENT, c->body.data, c->body.len), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(bench.hub_key)), 0);
	return json_incref(e->payload);
}

static json_int_t
counter_of(const json_t *assignment)
{
	return json_integer_value(json_object_get(assignment, "counter"));
}

#define STATEMENT "{\"platform\":\"p\",\"services\":[{\"name\":\"other\",\"channel\":\"stable\"},{\"name\":\"../x\",\"channel\":\"stable\"}," \
		  "{\"name\":\"redis\",\"channel\":\"stable\",\"release\":\"\"}]}"

static void
test_releases_follow_the_statement(void **state)
{
	SCOPED_JSON *a = NULL;
	const json_t *one;

	(void)state;
	vendor_says(TARGETS(""), TARGETS(BOTH));
	site_says(STATEMENT);
	a = assigned(ask());
	assert_string_equal(json_string_value(json_object_get(a, "site")), "acme-1");
	assert_int_equal(json_array_size(json_object_get(a, "releases")), 1);
	one = json_array_get(json_object_get(a, "releases"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "service")), "redis");
	assert_string_equal(json_string_value(json_object_get(one, "target")), "services/redis/2/index.json");
	assert_string_equal(json_string_value(json_object_get(one, "sha256")), TWO);
}

static void
test_what_is_no_statement_is_assigned_nothing(void **state)
{
	static const char *const bad[] = { "{}", "{\"platform\":\"p\"}", "{\"platform\":\"p\",\"services\":{}}",
		"{\"services\":[]}", "{\"platform\":7,\"services\":[]}", "{\"platform\":\"p\",\"services\":[{\"name\":\"redis\"}]}",
		"{\"platform\":\"p\",\"services\":[{\"channel\":\"stable\"}]}", "{\"platform\":\"p\",\"services\":[7]}" };

	(void)state;
	vendor_says(TARGETS(BOTH), NULL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		site_says(bad[i]);
		bench_refused(ask(), 400, REASON_MALFORMED);
		assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM assignments"), 0);
	}
}

/* The same until something changes or half its life is over; never the same number for another word, nor a lower one. */
static void
test_the_counter_only_rises(void **state)
{
	SCOPED_JSON *first = NULL, *again = NULL, *newer = NULL, *reborn = NULL, *lost = NULL, *late = NULL;

	(void)state;
	vendor_says(TARGETS(TARGET("1", "stable", "p", "service", 1)), NULL);
	site_says(STATEMENT);
	first = assigned(ask());
	again = assigned(ask());
	assert_true(json_equal(first, again));
	vendor_says(TARGETS(BOTH), NULL);
	newer = assigned(ask());
	assert_true(counter_of(newer) > counter_of(first));
	/* Another hubd on the same files, and one whose files were lost. */
	bench_restart(modules);
	reborn = assigned(ask());
	assert_true(json_equal(newer, reborn));
	clock_fake(BENCH_NOW + DIRECTOR_LIFE_S / 2 * CLOCK_US_PER_S + CLOCK_US_PER_S, BENCH_NOW);
	late = assigned(ask());
	assert_true(counter_of(late) > counter_of(newer));
	assert_int_equal(db_exec(bench_db(), "DELETE FROM assignments", ""), 0);
	clock_fake(BENCH_NOW + DIRECTOR_LIFE_S / 2 * CLOCK_US_PER_S + 2 * CLOCK_US_PER_S, BENCH_NOW);
	lost = assigned(ask());
	assert_true(counter_of(lost) > counter_of(late));
}

/* Who serves a site whose repository somebody broke tells it what it told it before, as long as that is good. */
static void
test_a_damaged_repository_keeps_the_last_word(void **state)
{
	SCOPED(buf_done) struct buf metrics = BUF_MAX(65536);
	SCOPED_JSON *good = NULL, *kept = NULL;

	(void)state;
	vendor_says(TARGETS(""), TARGETS(BOTH));
	site_says(STATEMENT);
	good = assigned(ask());
	vendor_says(TARGETS(""), TARGETS(BOTH));
	scratch_write(&vendor.tuf, "2.redis.json", "{}", 2);
	kept = assigned(ask());
	assert_true(json_equal(good, kept));
	scratch_write(&vendor.tuf, "timestamp.json", "{}", 2);
	json_decref(kept);
	kept = assigned(ask());
	assert_true(json_equal(good, kept));
	/* Not longer. */
	assert_int_equal(db_exec(bench_db(), "UPDATE assignments SET not_after = 1", ""), 0);
	bench_refused(ask(), 503, REASON_MALFORMED);
	serve_metrics(bench.serve, &metrics);
	assert_non_null(strstr(buf_text(&metrics), "mainstay_hub_assignments_total{how=\"signed\"} 1\n"));
	assert_non_null(strstr(buf_text(&metrics), "mainstay_hub_assignments_total{how=\"kept\"} 2\n"));
	assert_non_null(strstr(buf_text(&metrics), "mainstay_hub_assignments_total{how=\"failed\"} 1\n"));
}

static void
test_an_assignment_is_for_its_site_alone(void **state)
{
	(void)state;
	bench_refused(bench_ask(bench.courier, "GET", "/assignments/other", NULL, 0), 403, REASON_WRONG_ADDRESSEE);
	bench_refused(bench_ask(bench.courier, "GET", "/assignments/acme-1", NULL, 0), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "GET", "/assignments/acme-1", NULL, 0), 403, REASON_WRONG_ROLE);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM assignments"), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_newest_release_that_fits),
		TEST(test_releases_follow_the_statement),
		TEST(test_what_is_no_statement_is_assigned_nothing),
		TEST(test_the_counter_only_rises),
		TEST(test_a_damaged_repository_keeps_the_last_word),
		TEST(test_an_assignment_is_for_its_site_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
