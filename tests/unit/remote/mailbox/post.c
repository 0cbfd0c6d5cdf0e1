/* Requests as engineers post them: what the hub asks before it keeps one. */
#include "remote/mailbox/mailbox_hub.h"

#include "remote/request/request.h"
#include "tests/fakes/hub_bench.h"
#include "tests/fakes/people_fake.h"

static const struct serve_module *const modules[] = { &mailbox_hub_module, NULL };

static int
setup(void **state)
{
	struct registry_site other = {
		.site = "globex-1", .customer = "globex", .platform = "linux-x86_64"
	};

	(void)state;
	bench_open(modules);
	assert_int_equal(registry_site_put(serve_databases(bench.serve), &other), 0);
	people_fake_open("support", "[\"acme\"]", BENCH_NOW);
	return 0;
}

static int
teardown(void **state)
{
	people_fake_close();
	return bench_teardown(state);
}

static struct request
good(void)
{
	return (struct request){
		.id = "r-1",
		.site = "acme-1",
		.customer = "acme",
		.service = "redis",
		.instance = "redis",
		.operation = "info",
		.reason = "slow reads",
		.ticket = "C-17",
		.engineer = "ada",
		.people_version = 7,
		.not_before_us = BENCH_NOW - CLOCK_US_PER_S,
		.expires_us = BENCH_NOW + 3600 * CLOCK_US_PER_S,
		.nonce = { 9 },
		.epoch = { 1 },
		.definition = { 2 },
	};
}

static struct bench_call *
post(const struct request *q, enum people_fake_who who)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1 << 17);
	SCOPED_JSON *payload = NULL;
	struct bench_call *c;

	assert_int_equal(request_json(&payload, q), 0);
	people_fake_seal(&body, MESSAGE_REQUEST, payload, who);
	c = bench_ask(bench.engineer, "POST", "/v1/fleet/requests", body.data, body.len);
	c->pub.body = NULL; /* it ends with this call */
	return c;
}

static int64_t
kept(void)
{
	return bench_count(bench_db(), "SELECT count(*) FROM requests");
}

static void
test_an_engineers_own_request_is_kept(void **state)
{
	struct request q = good();

	(void)state;
	assert_int_equal(post(&q, ADA)->status, 202);
	assert_int_equal(kept(), 1);
}

static void
test_a_request_that_is_not_its_engineers_or_no_sites_is_not_kept(void **state)
{
	static const struct {
		const char *what, *site, *engineer;
		int64_t left_s;
		enum people_fake_who who;
		int status;
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "signed by another engineer", "acme-1", "ada", 3600, BOB, 403, REASON_WRONG_ROLE,
			"is signed by bob, not by ada" },
		{ "signed by nobody known", "acme-1", "ada", 3600, EVE, 401, REASON_UNKNOWN_KEY,
			"" },
		{ "no such site", "acme-2", "ada", 3600, ADA, 403, REASON_WRONG_ADDRESSEE,
			"acme-2 is no site of acme" },
		{ "another customer's site", "globex-1", "ada", 3600, ADA, 403,
			REASON_WRONG_ADDRESSEE, "globex-1 is no site of acme" },
		{ "over this very moment", "acme-1", "ada", 0, ADA, 403, REASON_EXPIRED,
			"its time is over" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct request q = good();
		struct bench_call *c;

		q.site = rows[i].site;
		q.engineer = rows[i].engineer;
		q.expires_us = BENCH_NOW + (uint64_t)rows[i].left_s * CLOCK_US_PER_S;
		c = post(&q, rows[i].who);
		if (c->status != rows[i].status)
			fail_msg("%s: %d", rows[i].what, c->status);
		bench_refused(c, rows[i].status, rows[i].reason);
		assert_non_null(strstr(refuse_last()->text, rows[i].says));
		assert_int_equal(kept(), 0);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_an_engineers_own_request_is_kept),
		TEST(test_a_request_that_is_not_its_engineers_or_no_sites_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
