/* A site record as an engineer posts it: whom the hub believes. */
#include "appliance/enrol/enrol_routes.h"

#include "tests/fakes/hub_bench.h"
#include "tests/fakes/people_fake.h"

static const struct serve_module *const modules[] = { &enrol_routes_module, NULL };
static struct ed25519 *site_key;

static int
setup(void **state)
{
	struct registry_site site = {
		.site = "new-1", .customer = "acme", .platform = "linux-x86_64"
	};

	(void)state;
	bench_open(modules);
	people_fake_open("enrol", "[\"acme\"]", BENCH_NOW);
	assert_int_equal(ed25519_generate(&site_key), 0);
	memcpy(site.key, ed25519_public(site_key), sizeof(site.key));
	assert_int_equal(registry_site_put(serve_databases(bench.serve), &site), 0);
	return 0;
}

static int
teardown(void **state)
{
	ed25519_free(site_key);
	people_fake_close();
	return bench_teardown(state);
}

static struct bench_call *
accept_site(const char *engineer, enum people_fake_who who)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:{}}", "v", 1,
		"site", "new-1", "customer", "acme", "key", ed25519_public_hex(site_key),
		"platform", "linux-x86_64", "name", "Plant 7", "engineer", engineer, "labels");
	SCOPED(buf_done) struct buf body = BUF_MAX(1 << 17);
	struct bench_call *c;

	assert_int_equal(json_put_time(payload, "time", BENCH_NOW), 0);
	people_fake_seal(&body, MESSAGE_SITE, payload, who);
	c = bench_ask(bench.engineer, "POST", "/v1/fleet/sites/new-1/record", body.data, body.len);
	c->pub.body = NULL; /* it ends with this call */
	return c;
}

static int64_t
accepted(void)
{
	return bench_count(databases_fleet(serve_databases(bench.serve)),
		"SELECT count(*) FROM sites WHERE site = 'new-1' AND status = 'accepted'");
}

static void
test_a_record_counts_by_the_engineer_that_it_names(void **state)
{
	(void)state;
	bench_refused(accept_site("bob", ADA), 401, REASON_UNKNOWN_KEY);
	assert_string_equal(refuse_last()->text, "the key is another engineer's");
	bench_refused(accept_site("ada", EVE), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(accepted(), 0);
	assert_int_equal(accept_site("ada", ADA)->status, 200);
	assert_int_equal(accepted(), 1);
}

static void
test_a_record_wants_the_role_for_it(void **state)
{
	(void)state;
	people_fake_close();
	people_fake_open("support", "[\"acme\"]", BENCH_NOW);
	bench_refused(accept_site("ada", ADA), 403, REASON_WRONG_ROLE);
	assert_int_equal(accepted(), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_record_counts_by_the_engineer_that_it_names),
		TEST(test_a_record_wants_the_role_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
