/* Requests as engineers post them: what the hub asks before it keeps one. */
#include "remote/mailbox/mailbox_hub.h"

#include "appliance/trust/envelope.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/cancel.h"
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
post_as(const struct request *q, enum people_fake_who who, enum message type, const char *target)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1 << 17);
	SCOPED_JSON *payload = NULL;
	struct bench_call *c;

	assert_int_equal(request_json(&payload, q), 0);
	people_fake_seal(&body, type, payload, who);
	c = bench_ask(bench.engineer, "POST", target, body.data, body.len);
	c->pub.body = NULL; /* it ends with this call */
	return c;
}

static struct bench_call *
post(const struct request *q, enum people_fake_who who)
{
	return post_as(q, who, MESSAGE_REQUEST, "/v1/fleet/requests");
}

/* Cancel the request that good() makes, but for what the row says. */
static struct bench_call *
cancel(const char *id, const char *engineer, uint8_t flip, enum people_fake_who who, enum message type)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1 << 17);
	SCOPED_JSON *payload = NULL, *asked = NULL;
	struct cancel m = { .id = id, .engineer = engineer, .reason = "enough", .time_us = BENCH_NOW };
	struct request q = good();
	struct bench_call *c;

	assert_int_equal(request_json(&asked, &q), 0);
	assert_int_equal(envelope_digest(m.request, asked), 0);
	m.request[0] ^= flip;
	assert_int_equal(cancel_json(&payload, &m), 0);
	people_fake_seal(&body, type, payload, who);
	c = bench_ask(bench.engineer, "POST", "/v1/fleet/requests?kind=cancel", body.data, body.len);
	c->pub.body = NULL;
	return c;
}

/* What the courier is given behind number after: "request 1, cancel 2". */
static const char *
given(unsigned after)
{
	static char text[256];
	char target[64];
	SCOPED_JSON *doc = NULL;
	json_t *item;
	size_t i, len = 0;

	(void)snprintf(target, sizeof(target), "/v1/mailbox?after=%u", after);
	doc = bench_json(bench_ask(bench.courier, "GET", target, NULL, 0));
	text[0] = '\0';
	json_array_foreach(json_object_get(doc, "items"), i, item) {
		assert_true(json_is_object(json_object_get(item, "body")));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %d", i ? ", " : "", json_text(item, "kind"),
			(int)json_integer_value(json_object_get(item, "n")));
	}
	return text;
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

static void
test_a_dry_run_is_another_message(void **state)
{
	struct request q = good();
	uint8_t digest[32] = { 0 };
	SCOPED_JSON *page = NULL, *asked = NULL, *changes = json_array();

	(void)state;
	/* Signed as the one, sent as the other. */
	bench_refused(post_as(&q, ADA, MESSAGE_REQUEST, "/v1/fleet/requests?kind=dry-run"), 401, REASON_BAD_SIGNATURE);
	bench_refused(post_as(&q, ADA, MESSAGE_DRY_RUN, "/v1/fleet/requests"), 401, REASON_BAD_SIGNATURE);
	bench_refused(post_as(&q, ADA, MESSAGE_DRY_RUN, "/v1/fleet/requests?kind=request"), 401, REASON_BAD_SIGNATURE);
	bench_refused(post_as(&q, ADA, MESSAGE_DRY_RUN, "/v1/fleet/requests?kind=permit"), 400, REASON_MALFORMED);
	bench_refused(post_as(&q, ADA, MESSAGE_REQUEST, "/v1/fleet/requests?to=x"), 400, REASON_MALFORMED);
	assert_int_equal(kept(), 0);
	assert_int_equal(post_as(&q, ADA, MESSAGE_DRY_RUN, "/v1/fleet/requests?kind=dry-run")->status, 202);
	assert_string_equal(given(0), "dry-run 1");
	/* Its plan is all that it asked for, and it is nothing that changed the site. */
	assert_int_equal(request_json(&asked, &q), 0);
	assert_int_equal(envelope_digest(digest, asked), 0);
	assert_int_equal(mailbox_store_answer(bench_db(), "acme-1", "r-1", digest, NULL, "ask", "{}", BENCH_NOW), 0);
	page = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1", NULL, 0));
	assert_string_equal(json_text(page, "state"), "done");
	assert_string_equal(json_text(page, "kind"), "dry-run");
	assert_int_equal(serve_changes(bench.serve, "acme-1", bench_db(), changes), 0);
	assert_int_equal(json_array_size(changes), 0);
}

static void
test_a_cancel_comes_behind_its_request(void **state)
{
	struct request q = good();

	(void)state;
	assert_int_equal(post(&q, ADA)->status, 202);
	assert_int_equal(cancel("r-1", "ada", 0, ADA, MESSAGE_CANCEL)->status, 202);
	assert_string_equal(given(0), "request 1, cancel 2");
	/* Said again, it is the same; another engineer's is another. */
	assert_int_equal(cancel("r-1", "ada", 0, ADA, MESSAGE_CANCEL)->status, 202);
	assert_string_equal(given(0), "request 1, cancel 2");
	assert_int_equal(cancel("r-1", "bob", 0, BOB, MESSAGE_CANCEL)->status, 202);
	assert_string_equal(given(1), "cancel 2, cancel 3");
	assert_string_equal(given(3), "");
	/* Once the site has it, it may be said again. */
	assert_int_equal(cancel("r-1", "ada", 0, ADA, MESSAGE_CANCEL)->status, 202);
	assert_string_equal(given(3), "cancel 4");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM cancels"), 2);
}

static void
test_a_parked_poll_hears_of_a_cancel(void **state)
{
	struct request q = good();
	struct bench_call *c;

	(void)state;
	assert_int_equal(post(&q, ADA)->status, 202);
	c = bench_ask(bench.courier, "GET", "/v1/mailbox?after=1&wait=30", NULL, 0);
	assert_int_equal(c->status, 0);
	assert_int_equal(cancel("r-1", "ada", 0, ADA, MESSAGE_CANCEL)->status, 202);
	assert_int_equal(c->status, 200);
}

static void
test_a_cancel_that_is_not_taken(void **state)
{
	static const struct {
		const char *what, *id, *engineer;
		uint8_t flip;
		enum people_fake_who who;
		enum message type;
		int status;
		enum reason reason;
	} rows[] = {
		{ "of no request", "r-2", "ada", 0, ADA, MESSAGE_CANCEL, 404, REASON_NOT_FOUND },
		{ "of another request of that id", "r-1", "ada", 1, ADA, MESSAGE_CANCEL, 404, REASON_NOT_FOUND },
		{ "by nobody known", "r-1", "ada", 0, EVE, MESSAGE_CANCEL, 401, REASON_UNKNOWN_KEY },
		{ "in another's name", "r-1", "bob", 0, ADA, MESSAGE_CANCEL, 403, REASON_WRONG_ROLE },
		{ "under another namespace", "r-1", "ada", 0, ADA, MESSAGE_REQUEST, 401, REASON_BAD_SIGNATURE },
	};
	struct request q = good();
	char site[65];

	(void)state;
	assert_int_equal(post(&q, ADA)->status, 202);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench_call *c = cancel(rows[i].id, rows[i].engineer, rows[i].flip, rows[i].who, rows[i].type);

		if (c->status != rows[i].status)
			fail_msg("%s: %d", rows[i].what, c->status);
		bench_refused(c, rows[i].status, rows[i].reason);
		assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM cancels"), 0);
	}
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET state = 'done'", ""), 0);
	bench_refused(cancel("r-1", "ada", 0, ADA, MESSAGE_CANCEL), 409, REASON_CONFLICT);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM cancels"), 0);
	assert_string_equal(given(0), "");
	/* Gone between the look and the deed. */
	assert_int_equal(mailbox_live_cancel(bench_db(), "r-3", "ada", "{}", BENCH_NOW, site), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
}

static void
test_a_flood_is_told_when_to_come_again(void **state)
{
	struct request q = good();
	struct bench_call *c = NULL;
	char id[16];

	(void)state;
	q.id = id;
	for (int i = 0; i <= REQUEST_PENDING_ENGINEER_MAX; i++) {
		(void)snprintf(id, sizeof(id), "r-%d", i);
		c = post(&q, ADA);
		assert_int_equal(c->status, i < REQUEST_PENDING_ENGINEER_MAX ? 202 : 429);
	}
	bench_refused(c, 429, REASON_BUSY);
	assert_string_equal(http_call_added(&c->pub, "Retry-After"), "5");
	assert_int_equal(kept(), REQUEST_PENDING_ENGINEER_MAX);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_an_engineers_own_request_is_kept),
		TEST(test_a_request_that_is_not_its_engineers_or_no_sites_is_not_kept),
		TEST(test_a_dry_run_is_another_message),
		TEST(test_a_cancel_comes_behind_its_request),
		TEST(test_a_parked_poll_hears_of_a_cancel),
		TEST(test_a_cancel_that_is_not_taken),
		TEST(test_a_flood_is_told_when_to_come_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
