/* Logins that are signed rightly: what the people document says of who signed them. */
#include "remote/fleet/login.h"

#include "remote/fleet/fleet.h"
#include "tests/fakes/hub_bench.h"
#include "tests/fakes/people_fake.h"

static const struct serve_module *const modules[] = { &fleet_module, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	people_fake_open("support", "[\"acme\", \"globex\"]", BENCH_NOW);
	return 0;
}

static int
teardown(void **state)
{
	people_fake_close();
	return bench_teardown(state);
}

/* Engineer `name` logs in for customers with the key of who. */
static struct bench_call *
login(const char *name, enum people_fake_who who, json_t *take_customers)
{
	SCOPED_JSON *asked = NULL;
	SCOPED_JSON *payload = NULL;
	SCOPED(buf_done) struct buf body = BUF_MAX(1 << 17);
	uint8_t session[32] = { 9 };
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	char path[128];

	assert_int_equal(ed25519_from_seed(&key, session), 0);
	(void)snprintf(path, sizeof(path), "/v1/login?engineer=%s", name);
	asked = bench_json(bench_ask(NULL, "GET", path, NULL, 0));
	payload = json_pack("{s:i, s:s, s:s, s:s, s:o, s:O}", "v", 1, "hub", "bench-hub",
		"engineer", name, "key", ed25519_public_hex(key), "customers", take_customers,
		"nonce", json_object_get(asked, "nonce"));
	assert_int_equal(json_put_time(payload, "not_after", BENCH_NOW + 3600 * CLOCK_US_PER_S), 0);
	people_fake_seal(&body, MESSAGE_LOGIN, payload, who);
	return bench_ask(NULL, "POST", "/v1/login", body.data, body.len);
}

static json_t *
list(const char *text)
{
	json_t *doc = json_loads(text, 0, NULL);

	assert_non_null(doc);
	return doc;
}

/* The same name so many times: each is the engineer's, all of them do not fit. */
static json_t *
many(const char *name, int n)
{
	json_t *doc = json_array();

	while (n-- > 0)
		assert_int_equal(json_array_append_new(doc, json_string(name)), 0);
	return doc;
}

static int64_t
keys(void)
{
	return bench_count(databases_fleet(serve_databases(bench.serve)),
		"SELECT count(*) FROM keys");
}

static void
test_who_is_an_engineer_of_each_customer_named_gets_in(void **state)
{
	SCOPED_JSON *doc = NULL;
	struct bench_call *c;

	(void)state;
	c = login("ada", ADA, list("[\"acme\", \"globex\"]"));
	assert_int_equal(c->status, 200);
	doc = bench_json(c);
	assert_string_equal(json_text(doc, "engineer"), "ada");
	assert_int_equal(keys(), 3);
}

static void
test_a_login_says_more_than_the_people_document(void **state)
{
	static const struct {
		const char *what, *name, *customers;
		enum people_fake_who who;
		int status;
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "no customers", "ada", "[]", ADA, 400, REASON_MALFORMED,
			"the login names no customers" },
		{ "a customer that is no text", "ada", "[\"acme\", 7]", ADA, 400, REASON_MALFORMED,
			"customer 2 is no name" },
		{ "a customer that is a path", "ada", "[\"../acme\"]", ADA, 400, REASON_MALFORMED,
			"customer 1 is no name" },
		{ "a list within the list", "ada", "[\"acme,globex\"]", ADA, 400, REASON_MALFORMED,
			"customer 1 is no name" },
		{ "another's name", "bob", "[\"acme\"]", ADA, 401, REASON_UNKNOWN_KEY,
			"the key is another engineer's" },
		{ "nobody's key", "ada", "[\"acme\"]", EVE, 401, REASON_UNKNOWN_KEY, "" },
		{ "one customer too many", "ada", "[\"acme\", \"initech\"]", ADA, 403,
			REASON_WRONG_ROLE, "" },
		{ "all customers", "ada", "[\"*\"]", ADA, 403, REASON_WRONG_ROLE, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench_call *c = login(rows[i].name, rows[i].who, list(rows[i].customers));

		if (c->status != rows[i].status)
			fail_msg("%s: %d", rows[i].what, c->status);
		bench_refused(c, rows[i].status, rows[i].reason);
		assert_non_null(strstr(refuse_last()->text, rows[i].says));
	}
	assert_int_equal(keys(), 2);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)),
				 "SELECT count(*) FROM nonces"),
		0);
}

static void
test_a_login_for_more_customers_than_fit(void **state)
{
	static char name[SERVE_NAME_MAX + 1];
	SCOPED(scope_free) char *customers = NULL;

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	people_fake_close();
	assert_true(asprintf(&customers, "[\"%s\"]", name) > 0);
	people_fake_open("support", customers, BENCH_NOW);
	bench_refused(login("ada", ADA, many(name, 32)), 413, REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->text, "the login names too many customers");
	assert_int_equal(keys(), 2);
	assert_int_equal(login("ada", ADA, many(name, 2))->status, 200);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_who_is_an_engineer_of_each_customer_named_gets_in),
		TEST(test_a_login_says_more_than_the_people_document),
		TEST(test_a_login_for_more_customers_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
