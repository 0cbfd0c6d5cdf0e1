/* A key gives its place to another: the message and the hub's end. */
#include "appliance/enrol/rotate.h"

#include "appliance/enrol/enrol_routes.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/rotate_hub.h"
#include "appliance/trust/envelope.h"
#include "tests/fakes/hub_bench.h"
#include "tests/fakes/refused.h"

#define DAY_US (UINT64_C(86400) * CLOCK_US_PER_S)

static const struct serve_module *const modules[] = { &enrol_routes_module, NULL };
static struct ed25519 *next, *third, *courier;

/* The bench's site key is bench.courier. */
static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	assert_int_equal(ed25519_generate(&next), 0);
	assert_int_equal(ed25519_generate(&third), 0);
	assert_int_equal(ed25519_generate(&courier), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(next);
	ed25519_free(third);
	ed25519_free(courier);
	bench_close();
	return 0;
}

static json_t *
seal(const char *site, const struct ed25519 *from, const struct ed25519 *to)
{
	json_t *envelope = NULL;

	assert_int_equal(rotate_seal(&envelope, site, from, to, clock_now_us()), 0);
	return envelope;
}

static struct bench_call *
post_raw(const json_t *rotation, const struct ed25519 *key, unsigned days)
{
	static struct buf body;
	SCOPED_JSON *daemon = NULL;

	buf_done(&body);
	body = BUF_MAX(ROTATE_BODY_MAX);
	assert_int_equal(enrol_site_daemon(&daemon, "acme-1", ed25519_public(courier), clock_now_us() + days * DAY_US, key), 0);
	assert_int_equal(rotate_request(&body, rotation, daemon), 0);
	return bench_ask(NULL, "POST", ROTATE_PATH, body.data, body.len);
}

static struct bench_call *
post(const struct ed25519 *from, const struct ed25519 *to, unsigned days)
{
	SCOPED_JSON *rotation = seal("acme-1", from, to);

	return post_raw(rotation, to, days);
}

static bool
is_key(const struct ed25519 *key)
{
	struct registry_site site;
	bool is;

	assert_int_equal(registry_site_get(serve_databases(bench.serve), "acme-1", &site), 0);
	is = memcmp(site.key, ed25519_public(key), 32) == 0;
	registry_site_done(&site);
	return is;
}

/* --- the message ------------------------------------------------------------------------------------------- */
static void
test_a_rotation_and_back(void **state)
{
	SCOPED_JSON *envelope = seal("acme-1", bench.courier, next);
	struct rotate r;

	(void)state;
	assert_int_equal(rotate_open(&r, envelope), 0);
	assert_string_equal(r.site, "acme-1");
	assert_memory_equal(r.old_key, ed25519_public(bench.courier), 32);
	assert_memory_equal(r.new_key, ed25519_public(next), 32);
}

/* Sealed by first, and by second where there is one. */
static json_t *
seal_raw(const char *old_hex, const char *new_hex, const struct ed25519 *first, const struct ed25519 *second)
{
	SCOPED_JSON *p = json_pack("{s:i, s:s, s:s, s:s, s:s}", "v", 1, "site", "acme-1", "old", old_hex, "new", new_hex,
		"time", "2027-01-15T08:00:00.000Z");
	json_t *envelope = NULL;

	assert_int_equal(envelope_seal(&envelope, MESSAGE_ROTATE, p, first), 0);
	if (second)
		assert_int_equal(envelope_cosign(envelope, MESSAGE_ROTATE, p, second), 0);
	return envelope;
}

static void
test_both_keys_must_have_signed(void **state)
{
	static const char zero[] = "0000000000000000000000000000000000000000000000000000000000000000";
	const char *a = ed25519_public_hex(bench.courier), *b = ed25519_public_hex(next);
	const struct {
		const char *old_hex, *new_hex;
		const struct ed25519 *first, *second;
		enum reason reason;
	} rows[] = {
		{ a, b, bench.courier, NULL, REASON_MALFORMED },
		{ a, b, next, NULL, REASON_MALFORMED },
		{ a, b, bench.courier, third, REASON_UNKNOWN_KEY },
		{ a, b, third, next, REASON_UNKNOWN_KEY },
		{ a, a, bench.courier, next, REASON_MALFORMED },
		{ a, zero, bench.courier, next, REASON_LOW_ORDER_KEY },
		{ "00", b, bench.courier, next, REASON_MALFORMED },
	};
	struct rotate r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *envelope = seal_raw(rows[i].old_hex, rows[i].new_hex, rows[i].first, rows[i].second);
		uint64_t n = refuse_count(rows[i].reason);

		if (rotate_open(&r, envelope) != (int)rows[i].reason)
			fail_msg("row %zu", i);
		assert_int_equal(refuse_count(rows[i].reason), n + 1);
	}
}

static void
test_a_signature_over_something_else_is_none(void **state)
{
	SCOPED_JSON *one = seal("acme-1", bench.courier, next), *two = seal("acme-2", bench.courier, next);
	struct rotate r;

	(void)state;
	json_array_set(json_object_get(one, "sigs"), 1, json_array_get(json_object_get(two, "sigs"), 1));
	assert_int_equal(rotate_open(&r, one), REASON_BAD_SIGNATURE);
	json_array_set(json_object_get(two, "sigs"), 0, json_array_get(json_object_get(one, "sigs"), 0));
	assert_int_equal(rotate_open(&r, two), REASON_BAD_SIGNATURE);
}

static void
test_an_answer_is_about_that_key(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"v\":0,\"site\":\"acme-1\",\"key\":\"00\"}" };
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);
	SCOPED_JSON *answer = NULL;

	(void)state;
	assert_int_equal(rotate_answer(&answer, "acme-1", ed25519_public(next)), 0);
	assert_int_equal(json_canonical(&text, answer), 0);
	assert_int_equal(rotate_answer_check(text.data, text.len, "acme-1", ed25519_public(next)), 0);
	assert_int_equal(rotate_answer_check(text.data, text.len, "acme-2", ed25519_public(next)), REASON_WRONG_ADDRESSEE);
	assert_int_equal(rotate_answer_check(text.data, text.len, "acme-1", ed25519_public(third)), REASON_WRONG_ADDRESSEE);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(rotate_answer_check(bad[i], strlen(bad[i]), "acme-1", ed25519_public(next)),
			REASON_MALFORMED);
}

static void
test_a_request_is_of_version_1(void **state)
{
	SCOPED_JSON *rotation = json_object(), *daemon = json_object(), *one = NULL, *two = NULL;
	SCOPED(buf_done) struct buf body = BUF_MAX(ROTATE_BODY_MAX);
	char *digit;

	(void)state;
	assert_int_equal(rotate_request(&body, rotation, daemon), 0);
	digit = strstr(buf_text(&body), "\"v\":1");
	assert_non_null(digit);
	digit[4] = '0';
	assert_refused(rotate_request_read(&one, &two, body.data, body.len), REASON_MALFORMED, "not of version 1");
	assert_true(!one && !two);
	digit[4] = '1';
	assert_int_equal(rotate_request_read(&one, &two, body.data, body.len), 0);
	assert_true(json_equal(one, rotation) && json_equal(two, daemon));
}

/* --- the hub ----------------------------------------------------------------------------------------------- */
static void
test_the_hub_swaps_both_keys_at_once(void **state)
{
	SCOPED_JSON *stolen = NULL;
	SCOPED(scope_free) char *text = NULL;

	(void)state;
	assert_int_equal(bench_ask(bench.courier, "GET", "/v1/record", NULL, 0)->status, 200);
	assert_int_equal(post(bench.courier, next, 5)->status, 200);
	assert_true(is_key(next));
	/* What the old key vouched for is over; what the new one does is good. */
	bench_refused(bench_ask(bench.courier, "GET", "/v1/record", NULL, 0), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(bench_ask(courier, "GET", "/v1/record", NULL, 0)->status, 200);
	assert_int_equal(enrol_site_daemon(&stolen, "acme-1", ed25519_public(third), clock_now_us() + 7 * DAY_US,
				 bench.courier),
		0);
	text = json_dumps(stolen, 0);
	bench_refused(bench_ask(NULL, "POST", "/v1/daemon", text, strlen(text)), 401, REASON_UNKNOWN_KEY);
	/* An answer was lost: the same again, also with a later statement, and after a restart. */
	assert_int_equal(post(bench.courier, next, 6)->status, 200);
	bench_restart(modules);
	assert_int_equal(post(bench.courier, next, 7)->status, 200);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)), "SELECT count(*) FROM rotations"), 1);
}

static void
test_what_is_no_rotation_of_that_site_changes_nothing(void **state)
{
	SCOPED_JSON *elsewhere = seal("nowhere", bench.courier, next), *good = seal("acme-1", bench.courier, next);

	(void)state;
	bench_refused(post(third, next, 5), 401, REASON_UNKNOWN_KEY);
	bench_refused(post_raw(elsewhere, next, 5), 401, REASON_UNKNOWN_KEY);
	bench_refused(post_raw(good, bench.courier, 5), 401, REASON_UNKNOWN_KEY); /* the courier's key by the old one */
	bench_refused(bench_ask(NULL, "POST", ROTATE_PATH, "{}", 2), 400, REASON_MALFORMED);
	assert_int_equal(registry_site_status(serve_databases(bench.serve), "acme-1", REGISTRY_PENDING), 0);
	bench_refused(post(bench.courier, next, 5), 403, REASON_NOT_APPROVED);
	assert_int_equal(registry_site_status(serve_databases(bench.serve), "acme-1", REGISTRY_ACCEPTED), 0);
	assert_true(is_key(bench.courier));
	assert_int_equal(bench_ask(bench.courier, "GET", "/v1/record", NULL, 0)->status, 200);
	/* The thief of a former key, and whoever kept the rotation itself. */
	assert_int_equal(post(bench.courier, next, 5)->status, 200);
	assert_int_equal(post(next, third, 5)->status, 200);
	bench_refused(post_raw(good, next, 6), 409, REASON_REPLAYED);
	bench_refused(post(bench.courier, courier, 6), 409, REASON_REPLAYED);
	assert_true(is_key(third));
}

static void
test_the_chain_is_shown_until_a_record_ends_it(void **state)
{
	struct db *fleet = databases_fleet(serve_databases(bench.serve));
	struct registry_site site = { .site = "acme-1" };
	SCOPED_JSON *page = json_object(), *after = json_object();
	struct rotate step;
	const json_t *list;

	(void)state;
	assert_int_equal(post(bench.courier, next, 5)->status, 200);
	assert_int_equal(post(next, third, 5)->status, 200);
	assert_int_equal(rotate_hub_page(fleet, &site, page), 0);
	list = json_object_get(page, "rotations");
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(rotate_open(&step, json_array_get(list, 1)), 0);
	assert_memory_equal(step.old_key, ed25519_public(next), 32);
	assert_int_equal(rotate_hub_forget(fleet, "acme-1"), 0);
	assert_int_equal(rotate_hub_page(fleet, &site, after), 0);
	assert_int_equal(json_array_size(json_object_get(after, "rotations")), 0);
}

static void
test_a_chain_has_an_end(void **state)
{
	struct db *fleet = databases_fleet(serve_databases(bench.serve));

	(void)state;
	for (int i = 0; i < ROTATE_CHAIN_MAX; i++)
		assert_int_equal(db_exec(fleet, "INSERT INTO rotations VALUES('acme-1', ?1, x'00', x'01', '{}', 0)", "i",
					 (int64_t)i + 1),
			0);
	bench_refused(post(bench.courier, next, 5), 413, REASON_TOO_LARGE);
	assert_true(is_key(bench.courier));
}

/* A disk of before the site left is in other hands: the rotation on it brings no key back. */
static void
test_a_rotation_shown_again_after_the_site_left(void **state)
{
	struct bench_call *c;

	(void)state;
	assert_int_equal(post(bench.courier, next, 5)->status, 200);
	assert_int_equal(registry_site_status(serve_databases(bench.serve), "acme-1", REGISTRY_LEFT), 0);
	assert_int_equal(registry_site_forget_keys(serve_databases(bench.serve), "acme-1"), 0);
	c = post(bench.courier, next, 7);
	bench_refused(c, 401, REASON_UNKNOWN_KEY);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)),
				 "SELECT count(*) FROM keys WHERE kind = 'site'"),
		0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_rotation_and_back),
		TEST(test_both_keys_must_have_signed),
		TEST(test_a_signature_over_something_else_is_none),
		TEST(test_an_answer_is_about_that_key),
		TEST(test_a_request_is_of_version_1),
		TEST(test_the_hub_swaps_both_keys_at_once),
		TEST(test_what_is_no_rotation_of_that_site_changes_nothing),
		TEST(test_the_chain_is_shown_until_a_record_ends_it),
		TEST(test_a_chain_has_an_end),
		TEST(test_a_rotation_shown_again_after_the_site_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
