#include "appliance/enrol/enrol_routes.h"

#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/serve/batch.h"
#include "appliance/trust/envelope.h"
#include "tests/fakes/hub_bench.h"

#define DAY_US (UINT64_C(86400) * CLOCK_US_PER_S)

static const struct serve_module *const modules[] = { &enrol_routes_module, NULL };
static struct ed25519 *site_key, *other_key, *courier;
static struct token token;

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	assert_int_equal(ed25519_generate(&site_key), 0);
	assert_int_equal(ed25519_generate(&other_key), 0);
	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(token_mint(&token, "new-1", "acme", BENCH_NOW + 3600 * CLOCK_US_PER_S), 0);
	assert_int_equal(enrol_routes_mint(databases_fleet(serve_databases(bench.serve)), &token, BENCH_NOW), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(site_key);
	ed25519_free(other_key);
	ed25519_free(courier);
	bench_close();
	return 0;
}

static struct bench_call *
enrol(const struct token *with, const struct ed25519 *key)
{
	static struct buf body;
	SCOPED_JSON *daemon = NULL;

	buf_done(&body);
	body = BUF_MAX(ENROL_WIRE_BODY_MAX);
	assert_int_equal(
		enrol_site_daemon(&daemon, with->site, ed25519_public(courier), clock_now_us() + 6 * DAY_US, key), 0);
	assert_int_equal(enrol_site_request(&body, with, key, ed25519_public(other_key), daemon, "linux-x86_64",
				 clock_now_us()),
		0);
	return bench_ask(NULL, "POST", ENROL_WIRE_PATH, body.data, body.len);
}

static struct db *
fleet(void)
{
	return databases_fleet(serve_databases(bench.serve));
}

static void
test_a_token_is_one_keys(void **state)
{
	SCOPED_JSON *doc = NULL;
	struct bench_call *c;

	(void)state;
	c = enrol(&token, site_key);
	assert_int_equal(c->status, 200);
	doc = bench_json(c);
	assert_string_equal(json_string_value(json_object_get(doc, "status")), "pending");
	assert_int_equal(enrol(&token, site_key)->status, 200);
	bench_refused(enrol(&token, other_key), 410, REASON_USED_TOKEN);
	bench_restart(modules);
	bench_refused(enrol(&token, other_key), 410, REASON_USED_TOKEN);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM sites WHERE site = 'new-1'"), 1);
	bench_refused(bench_ask(courier, "GET", "/v1/record", NULL, 0), 404, REASON_NOT_FOUND);
	assert_int_equal(registry_site_accept(serve_databases(bench.serve), "new-1", "{\"payload\":\"\"}"), 0);
	c = bench_ask(courier, "GET", "/v1/record", NULL, 0);
	assert_int_equal(c->status, 200);
	assert_string_equal(buf_text(&c->body), "{\"payload\":\"\"}");
}

static void
test_what_does_not_fit_the_token_leaves_nothing(void **state)
{
	struct token wrong = token, unknown = token, late = token;

	(void)state;
	wrong.secret[0] ^= 1;
	bench_refused(enrol(&wrong, site_key), 401, REASON_BAD_SIGNATURE);
	(void)snprintf(unknown.site, sizeof(unknown.site), "nowhere");
	bench_refused(enrol(&unknown, site_key), 401, REASON_BAD_SIGNATURE);
	clock_fake(BENCH_NOW + 2 * DAY_US, BENCH_NOW);
	bench_refused(enrol(&late, site_key), 410, REASON_EXPIRED);
	bench_refused(bench_ask(NULL, "POST", ENROL_WIRE_PATH, "{", 1), 400, REASON_MALFORMED);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM sites"), 1);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM keys"), 2);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM tokens WHERE key IS NOT NULL"), 0);
}

static void
test_a_token_in_use_is_not_replaced(void **state)
{
	struct token second;

	(void)state;
	assert_int_equal(token_mint(&second, "new-1", "acme", BENCH_NOW + 3600 * CLOCK_US_PER_S), 0);
	assert_int_equal(enrol_routes_mint(fleet(), &second, BENCH_NOW), 0); /* nobody used the first */
	bench_refused(enrol(&token, site_key), 401, REASON_BAD_SIGNATURE);
	assert_int_equal(enrol(&second, site_key)->status, 200);
	assert_int_equal(enrol_routes_mint(fleet(), &token, BENCH_NOW), REASON_CONFLICT);
	assert_string_equal(refuse_last()->operand, "new-1");
	assert_int_equal(enrol_routes_mint(fleet(), &token, BENCH_NOW + 7200 * CLOCK_US_PER_S), 0);
}

static void
test_a_site_of_one_customer_is_never_anothers(void **state)
{
	uint64_t before = refuse_count(REASON_CONFLICT);
	struct token theirs;

	(void)state;
	assert_int_equal(token_mint(&theirs, "acme-1", "globex", BENCH_NOW + 3600 * CLOCK_US_PER_S), 0);
	assert_int_equal(enrol_routes_mint(fleet(), &theirs, BENCH_NOW), REASON_CONFLICT);
	assert_string_equal(refuse_last()->operand, "acme-1");
	assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM tokens WHERE site = 'acme-1'"), 0);
	bench_refused(enrol(&theirs, site_key), 401, REASON_BAD_SIGNATURE);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM sites WHERE customer <> 'acme'"), 0);
}

/* What a stranger hears of a site's name, in words and numbers. */
static char *
heard(const struct bench_call *c)
{
	SCOPED_JSON *doc = bench_json(c);

	(void)json_object_del(doc, "time");
	return json_dumps(doc, JSON_SORT_KEYS);
}

static void
test_a_stranger_does_not_learn_which_sites_there_are(void **state)
{
	static const char *const names[] = { "acme-1", "nowhere" };
	SCOPED(scope_free) char *first = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		SCOPED_JSON *daemon = NULL;
		SCOPED(scope_free) char *text = NULL;
		SCOPED(scope_free) char *answer = NULL;
		struct bench_call *c;

		assert_int_equal(enrol_site_daemon(&daemon, names[i], ed25519_public(other_key), BENCH_NOW + 5 * DAY_US,
					 other_key),
			0);
		text = json_dumps(daemon, 0);
		c = bench_ask(NULL, "POST", "/v1/daemon", text, strlen(text));
		bench_refused(c, 401, REASON_UNKNOWN_KEY);
		answer = heard(c);
		if (first)
			assert_string_equal(answer, first);
		else
			first = STEAL(answer);
	}
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM keys"), 2);
}

static void
test_a_new_key_of_a_site_counts_from_one(void **state)
{
	struct token second;

	(void)state;
	assert_int_equal(enrol(&token, site_key)->status, 200);
	assert_int_equal(db_exec(bench_db(), "INSERT INTO streams(site, stream, committed, floor) VALUES('new-1', 'metrics', 99, 99)", ""), 0);
	assert_int_equal(enrol(&token, site_key)->status, 200);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 1);
	clock_fake(BENCH_NOW + 7200 * CLOCK_US_PER_S, BENCH_NOW);
	assert_int_equal(token_mint(&second, "new-1", "acme", BENCH_NOW + 9000 * CLOCK_US_PER_S), 0);
	assert_int_equal(enrol_routes_mint(fleet(), &second, clock_now_us()), 0);
	assert_int_equal(enrol(&second, other_key)->status, 200);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 0);
}

static void
test_a_courier_key_is_renewed_by_the_site_key_alone(void **state)
{
	SCOPED_JSON *good = NULL;
	SCOPED_JSON *bad = NULL;
	SCOPED(scope_free) char *good_text = NULL;
	SCOPED(scope_free) char *bad_text = NULL;
	const uint8_t *key = ed25519_public(other_key);

	(void)state;
	assert_int_equal(enrol(&token, site_key)->status, 200);
	assert_int_equal(enrol_site_daemon(&good, "new-1", key, BENCH_NOW + 7 * DAY_US, site_key), 0);
	assert_int_equal(enrol_site_daemon(&bad, "new-1", key, BENCH_NOW + 5 * DAY_US, other_key), 0);
	good_text = json_dumps(good, 0);
	bad_text = json_dumps(bad, 0);
	assert_true(bench_ask(NULL, "POST", "/v1/daemon", bad_text, strlen(bad_text))->status == 401);
	bench_refused(bench_ask(other_key, "GET", "/v1/record", NULL, 0), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(bench_ask(NULL, "POST", "/v1/daemon", good_text, strlen(good_text))->status, 200);
	bench_refused(bench_ask(other_key, "GET", "/v1/record", NULL, 0), 404, REASON_NOT_FOUND);
	/* Pending, nothing else of it is heard; and what was superseded gives nobody a key again. */
	json_decref(bad);
	free(bad_text);
	assert_int_equal(enrol_site_daemon(&bad, "new-1", ed25519_public(courier), BENCH_NOW + 6 * DAY_US, site_key), 0);
	bad_text = json_dumps(bad, 0);
	bench_refused(bench_ask(NULL, "POST", "/v1/daemon", bad_text, strlen(bad_text)), 409, REASON_REPLAYED);
	assert_int_equal(bench_ask(NULL, "POST", "/v1/daemon", good_text, strlen(good_text))->status, 200);
	json_decref(bad);
	bad = NULL;
	free(bad_text);
	assert_int_equal(enrol_site_daemon(&bad, "nowhere", key, BENCH_NOW + 5 * DAY_US, site_key), 0);
	bad_text = json_dumps(bad, 0);
	bench_refused(bench_ask(NULL, "POST", "/v1/daemon", bad_text, strlen(bad_text)), 401, REASON_UNKNOWN_KEY);
}

static struct bench_call *
goodbye(const char *site, const struct ed25519 *key, const char *more)
{
	SCOPED_JSON *p = json_pack("{s:i, s:s, s:s}", "v", 1, "site", site, "time", "2027-01-15T08:00:00.000Z");
	SCOPED_JSON *envelope = NULL;
	static char *text;

	if (more)
		json_object_set_new(p, more, json_true());
	assert_int_equal(envelope_seal(&envelope, MESSAGE_GOODBYE, p, key), 0);
	free(text);
	text = json_dumps(envelope, 0);
	return bench_ask(NULL, "POST", ENROL_WIRE_LEAVE, text, strlen(text));
}

static void
test_a_site_that_left_is_nobody_until_it_enrols_anew(void **state)
{
	SCOPED_JSON *daemon = NULL;
	SCOPED(scope_free) char *text = NULL;
	struct token second;

	(void)state;
	assert_int_equal(enrol(&token, site_key)->status, 200);
	assert_int_equal(registry_site_accept(serve_databases(bench.serve), "new-1", "{}"), 0);
	bench_refused(goodbye("new-1", other_key, NULL), 401, REASON_UNKNOWN_KEY);
	assert_string_equal(refuse_last()->text, "not signed by the key of the site that it names");
	bench_refused(goodbye("nowhere", site_key, NULL), 401, REASON_UNKNOWN_KEY);
	assert_string_equal(refuse_last()->text, "not signed by the key of the site that it names");
	bench_refused(goodbye("new-1", site_key, "more"), 400, REASON_UNKNOWN_FIELD);
	bench_refused(bench_ask(NULL, "POST", ENROL_WIRE_LEAVE, "{}", 2), 400, REASON_MALFORMED);
	assert_int_equal(bench_ask(courier, "GET", "/v1/record", NULL, 0)->status, 200);
	assert_int_equal(goodbye("new-1", site_key, NULL)->status, 200);
	bench_refused(bench_ask(courier, "GET", "/v1/record", NULL, 0), 401, REASON_UNKNOWN_KEY);
	/* Its key is nobody's: no courier, no record, no rotation. */
	assert_int_equal(
		enrol_site_daemon(&daemon, "new-1", ed25519_public(courier), BENCH_NOW + 7 * DAY_US, site_key), 0);
	text = json_dumps(daemon, 0);
	bench_refused(bench_ask(NULL, "POST", "/v1/daemon", text, strlen(text)), 401, REASON_UNKNOWN_KEY);
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/sites/new-1/record", "{}", 2), 404, REASON_NOT_FOUND);
	bench_refused(enrol(&token, site_key), 401, REASON_BAD_SIGNATURE); /* the token went with it */
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM sites WHERE site = 'new-1' AND status = 'left'"), 1);
	assert_int_equal(token_mint(&second, "new-1", "acme", BENCH_NOW + 3600 * CLOCK_US_PER_S), 0);
	assert_int_equal(enrol_routes_mint(fleet(), &second, BENCH_NOW), 0);
	assert_int_equal(enrol(&second, other_key)->status, 200);
	bench_refused(goodbye("new-1", site_key, NULL), 401, REASON_UNKNOWN_KEY); /* the former goodbye again */
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM sites WHERE site = 'new-1' AND status = 'pending'"), 1);
}

static void
test_a_record_is_taken_from_nobody_without_people(void **state)
{
	(void)state;
	assert_int_equal(enrol(&token, site_key)->status, 200);
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/sites/none/record", "{}", 2), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/sites/new-1/record", "{}", 2), 400, REASON_MALFORMED);
	bench_refused(bench_ask(courier, "POST", "/v1/fleet/sites/new-1/record", "{}", 2), 403, REASON_WRONG_ROLE);
	assert_int_equal(
		bench_count(fleet(), "SELECT count(*) FROM sites WHERE status = 'accepted' AND site = 'new-1'"), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_token_is_one_keys),
		TEST(test_what_does_not_fit_the_token_leaves_nothing),
		TEST(test_a_token_in_use_is_not_replaced),
		TEST(test_a_site_of_one_customer_is_never_anothers),
		TEST(test_a_stranger_does_not_learn_which_sites_there_are),
		TEST(test_a_new_key_of_a_site_counts_from_one),
		TEST(test_a_courier_key_is_renewed_by_the_site_key_alone),
		TEST(test_a_site_that_left_is_nobody_until_it_enrols_anew),
		TEST(test_a_record_is_taken_from_nobody_without_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
