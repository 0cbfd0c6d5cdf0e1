#include "remote/mailbox/mailbox_hub.h"

#include "appliance/trust/envelope.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/request.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &mailbox_hub_module, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

/* A request is in the mailbox, as on_post() puts it there once people said yes (that is tested end to end). */
static int
put(const char *id, uint8_t digest)
{
	struct request request = { .id = id, .site = "acme-1", .customer = "acme", .service = "redis", .operation = "info",
		.engineer = "ada", .expires_us = BENCH_NOW * 2 };
	uint64_t n;

	memset(request.digest, digest, sizeof(request.digest));
	return mailbox_store_add(bench_db(), MAILBOX_KIND_REQUEST, &request, "{\"payload\":\"\",\"sigs\":[]}", BENCH_NOW, &n);
}

static size_t
items_of(const struct bench_call *c)
{
	SCOPED_JSON *doc = bench_json(c);

	assert_int_equal(c->status, 200);
	return json_array_size(json_object_get(doc, "items"));
}

static bool
state_is(const char *id, const char *want)
{
	SCOPED_JSON *doc = NULL;

	assert_int_equal(mailbox_store_get(bench_db(), id, &doc), 0);
	return strcmp(json_string_value(json_object_get(doc, "state")), want) == 0;
}

/* --- the store ------------------------------------------------------------------------------------------ */
static void
test_a_request_waits_until_it_is_acknowledged(void **state)
{
	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(put("r-2", 2), 0);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox", NULL, 0)), 2);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=0", NULL, 0)), 2);
	assert_true(state_is("r-1", "queued"));
	bench_restart(modules);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=1", NULL, 0)), 1);
	assert_true(state_is("r-1", "delivered"));
	assert_true(state_is("r-2", "queued"));
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=2", NULL, 0)), 0);
}

static void
test_the_same_request_is_one_and_another_conflicts(void **state)
{
	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(put("r-1", 2), REASON_CONFLICT);
	assert_int_equal(refuse_last()->reason, REASON_CONFLICT);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM requests"), 1);
	assert_int_equal(bench_count(bench_db(), "SELECT last FROM mailboxes"), 1);
}

static void
test_numbers_go_on_where_the_site_is(void **state)
{
	(void)state;
	/* The hub's file is older than the site's memory. */
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=40", NULL, 0)), 0);
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT n FROM requests"), 41);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=40", NULL, 0)), 1);
}

/* A thief of the courier's key acknowledges what there never was, so that no number is left for what comes. */
static void
test_an_acknowledgement_far_ahead_is_refused(void **state)
{
	static const char *const far[] = { "/v1/mailbox?after=1048578", "/v1/mailbox?after=9223372036854775807" };

	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		bench_refused(bench_ask(bench.courier, "GET", far[i], NULL, 0), 409, REASON_CONFLICT);
		assert_int_equal(bench_count(bench_db(), "SELECT last FROM mailboxes"), 1);
		assert_true(state_is("r-1", "queued"));
	}
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=1048577", NULL, 0)), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT last FROM mailboxes"), 1048577);
	assert_int_equal(put("r-2", 1), 0);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=1048577", NULL, 0)), 1);
}

/* --- polls ---------------------------------------------------------------------------------------------- */
static void
test_polls_are_parked_replaced_and_drained(void **state)
{
	struct bench_call *first = bench_ask(bench.courier, "GET", "/v1/mailbox?wait=30", NULL, 0);
	struct bench_call *second = bench_ask(bench.courier, "GET", "/v1/mailbox?wait=30", NULL, 0);

	(void)state;
	assert_int_equal(items_of(first), 0); /* the newer one took its place */
	assert_int_equal(second->status, 0);
	assert_int_equal(serve_inflight(bench.serve), 1);
	serve_drain(bench.serve);
	assert_int_equal(items_of(second), 0);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?wait=30", NULL, 0)), 0);
}

static void
test_a_poll_ends_with_its_time_or_its_peer(void **state)
{
	struct bench_call *c = bench_ask(bench.courier, "GET", "/v1/mailbox?wait=1", NULL, 0);

	(void)state;
	assert_int_equal(c->status, 0);
	assert_int_equal(reactor_run(bench.reactor, 1500 * CLOCK_US_PER_MS), 0);
	assert_int_equal(items_of(c), 0);
	c = bench_ask(bench.courier, "GET", "/v1/mailbox?wait=30", NULL, 0);
	c->gone(c->gone_arg);
	c->status = -1; /* it never was answered, and nobody will */
	serve_drain(bench.serve);
	assert_int_equal(c->status, -1);
}

/* What was changed while a poll was parked, and how the poll then ends. */
static struct bench_call *
end_of_poll(const struct ed25519 *key, const char *target, const char *change)
{
	struct bench_call *c = bench_ask(key, "GET", target, NULL, 0);
	uint64_t before;

	assert_int_equal(c->status, 0);
	if (change)
		assert_int_equal(db_exec(databases_fleet(serve_databases(bench.serve)), change, ""), 0);
	before = bench_refusals();
	mailbox_store_add(bench_db(), MAILBOX_KIND_REQUEST, &(struct request){ .id = "secret", .site = "acme-1", .customer = "acme",
		.service = "redis", .operation = "info", .engineer = "ada", .expires_us = BENCH_NOW * 2 },
		"{\"payload\":\"\",\"sigs\":[]}", BENCH_NOW, &(uint64_t){ 0 });
	serve_drain(bench.serve);
	c->refusals = bench_refusals() - before;
	assert_null(strstr(buf_text(&c->body), "redis"));
	return c;
}

static void
test_a_parked_poll_of_who_lost_the_key_gets_nothing(void **state)
{
	static const struct {
		bool courier;
		const char *change;
		int status;
		enum reason reason;
	} rows[] = {
		{ true, "DELETE FROM keys WHERE kind = 'site'", 401, REASON_UNKNOWN_KEY },
		{ true, "UPDATE keys SET site = 'acme-2'", 401, REASON_UNKNOWN_KEY },
		{ true, "UPDATE keys SET kind = 'engineer'", 401, REASON_UNKNOWN_KEY },
		{ true, "UPDATE keys SET not_after = 1", 401, REASON_EXPIRED },
		{ true, "UPDATE sites SET status = 'pending'", 403, REASON_NOT_APPROVED },
		{ false, "DELETE FROM keys WHERE kind = 'engineer'", 401, REASON_UNKNOWN_KEY },
		{ false, "UPDATE keys SET engineer = 'bob'", 401, REASON_UNKNOWN_KEY },
		{ false, "UPDATE keys SET not_after = 1", 401, REASON_EXPIRED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(put("r-1", 1), 0);
		bench_refused(end_of_poll(rows[i].courier ? bench.courier : bench.engineer,
				      rows[i].courier ? "/v1/mailbox?wait=30&after=1" : "/v1/fleet/requests/r-1?wait=30",
				      rows[i].change),
			rows[i].status, rows[i].reason);
		bench_close();
		setup(state);
	}
}

static void
test_a_parked_poll_of_who_was_revoked_gets_nothing(void **state)
{
	static const struct {
		enum reason people, answer;
		int status;
	} rows[] = {
		{ REASON_REVOKED, REASON_REVOKED, 403 },
		{ REASON_STALE_PEOPLE, REASON_STALE_PEOPLE, 403 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench_call *c;
		uint64_t before;

		assert_int_equal(put("r-1", 1), 0);
		c = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30", NULL, 0);
		bench.engineer_says = (int)rows[i].people;
		before = bench_refusals();
		serve_drain(bench.serve);
		c->refusals = bench_refusals() - before;
		bench_refused(c, rows[i].status, rows[i].answer);
		bench_close();
		setup(state);
	}
}

static void
test_polls_that_ask_too_much(void **state)
{
	(void)state;
	bench_refused(bench_ask(bench.courier, "GET", "/v1/mailbox?wait=56", NULL, 0), 400, REASON_MALFORMED);
	bench_refused(bench_ask(bench.courier, "GET", "/v1/mailbox?after=x", NULL, 0), 400, REASON_MALFORMED);
	bench_refused(bench_ask(bench.courier, "GET", "/v1/mailbox?site=other", NULL, 0), 400, REASON_MALFORMED);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/mailbox", NULL, 0), 403, REASON_WRONG_ROLE);
}

static void
test_those_who_wait_for_a_request_hear_of_it(void **state)
{
	struct bench_call *waits[MAILBOX_HUB_WAITERS_MAX];

	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	for (int i = 0; i < MAILBOX_HUB_WAITERS_MAX; i++)
		waits[i] = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30&state=queued", NULL, 0);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30&state=queued", NULL, 0), 429,
		REASON_BUSY);
	assert_int_equal(
		bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30&state=waiting", NULL, 0)->status, 200);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=1", NULL, 0)), 0);
	for (int i = 0; i < MAILBOX_HUB_WAITERS_MAX; i++)
		assert_int_equal(waits[i]->status, 200);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/none", NULL, 0), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/NONE", NULL, 0), 404, REASON_NOT_FOUND);
	bench.engineer_says = REASON_REVOKED;
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1", NULL, 0), 403, REASON_REVOKED);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/requests", NULL, 0), 403, REASON_REVOKED);
}

/* An answer that says nothing new would only be asked for again. */
static void
test_who_waits_for_another_request_goes_on_waiting(void **state)
{
	struct bench_call *first, *second;

	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(put("r-2", 2), 0);
	first = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30", NULL, 0);
	second = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-2?wait=30&state=queued", NULL, 0);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=1", NULL, 0)), 1);
	assert_int_equal(first->status, 200);
	assert_non_null(strstr(buf_text(&first->body), "delivered"));
	assert_int_equal(second->status, 0);
	assert_int_equal(items_of(bench_ask(bench.courier, "GET", "/v1/mailbox?after=2", NULL, 0)), 0);
	assert_int_equal(second->status, 200);
}

static void
test_a_request_may_go_while_somebody_waits_for_it(void **state)
{
	struct bench_call *c;
	uint64_t before;

	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	c = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30", NULL, 0);
	assert_int_equal(c->status, 0);
	assert_int_equal(mailbox_store_sweep(bench_db(), BENCH_NOW * 3), 0);
	before = bench_refusals();
	serve_drain(bench.serve);
	c->refusals = bench_refusals() - before;
	bench_refused(c, 404, REASON_NOT_FOUND);
}

static void
test_lists_leave_out_other_customers_without_a_word(void **state)
{
	uint64_t before = bench_refusals();
	struct db *other;

	(void)state;
	assert_int_equal(databases_customer(serve_databases(bench.serve), "globex", &other), 0);
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(items_of(bench_ask(bench.engineer, "GET", "/v1/fleet/requests", NULL, 0)), 1);
	assert_int_equal(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1", NULL, 0)->status, 200);
	assert_int_equal(bench_refusals(), before);
}

/* --- results ---------------------------------------------------------------------------------------------- */
static const struct ed25519 *cosigner; /* also signs; NULL: nobody */
static const char *outcome = "ok";     /* of a result */

static struct bench_call *
send_result(const char *sequence, const char *kind, const char *id, const char *decision, uint8_t digest,
	const struct ed25519 *key)
{
	enum message type = strcmp(kind, "plan") == 0 ? MESSAGE_PLAN : MESSAGE_RESULT;
	SCOPED_JSON *payload = json_object();
	json_t *envelope = NULL, *doc;
	uint8_t bytes[32];
	char *text;

	memset(bytes, digest, sizeof(bytes));
	assert_int_equal(json_put_sha256(payload, "request", bytes), 0);
	assert_int_equal(json_put_text(payload, "outcome", outcome), 0);
	assert_int_equal(envelope_seal(&envelope, type, payload, key), 0);
	if (cosigner)
		assert_int_equal(envelope_cosign(envelope, type, payload, cosigner), 0);
	doc = json_pack("{s:i, s:s, s:s, s:o}", "v", 1, "kind", kind, "request", id, "envelope", envelope);
	assert_int_equal(json_put_text(doc, "decision", decision), 0);
	text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	{
		struct bench_call *c = bench_batch("/v1/results", "results", sequence, "application/json", text, strlen(text));

		c->pub.body = NULL;
		free(text);
		return c;
	}
}

static void
test_plans_and_results_come_back(void **state)
{
	SCOPED_JSON *doc = NULL;

	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(send_result("1", "plan", "r-1", "ask", 1, bench.courier)->status, 200);
	assert_true(state_is("r-1", "waiting"));
	assert_int_equal(send_result("2", "result", "r-1", NULL, 1, bench.courier)->status, 200);
	assert_true(state_is("r-1", "done"));
	assert_int_equal(send_result("3", "plan", "r-1", "allow", 1, bench.courier)->status, 200);
	assert_true(state_is("r-1", "done"));
	/* One that crossed by file has a row of its own. */
	assert_int_equal(send_result("4", "result", "by-file", NULL, 9, bench.courier)->status, 200);
	doc = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/by-file", NULL, 0));
	assert_true(json_is_object(json_object_get(doc, "result")));
	assert_string_equal(json_text(doc, "outcome"), "ok");
	/* A list shows no word that is none. */
	outcome = "\x1b[2J";
	assert_int_equal(send_result("5", "result", "strange", NULL, 9, bench.courier)->status, 200);
	outcome = "ok";
	json_decref(doc);
	doc = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/strange", NULL, 0));
	assert_null(json_object_get(doc, "outcome"));
}

static void
test_what_is_no_word_of_the_site_on_this_request(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;

	(void)state;
	assert_int_equal(ed25519_generate(&stranger), 0);
	assert_int_equal(put("r-1", 1), 0);
	bench_refused(send_result("1", "result", "r-1", NULL, 2, bench.courier), 422, REASON_ALTERED);
	bench_refused(send_result("1", "result", "r-1", NULL, 1, stranger), 422, REASON_UNKNOWN_KEY);
	bench_refused(send_result("1", "other", "r-1", NULL, 1, bench.courier), 400, REASON_MALFORMED);
	bench_refused(send_result("1", "plan", "r-1", "maybe", 1, bench.courier), 400, REASON_MALFORMED);
	bench_refused(send_result("1", "result", "../x", NULL, 1, bench.courier), 400, REASON_MALFORMED);
	bench_refused(bench_batch("/v1/results", "results", "1", "application/json", "{}", 2), 400, REASON_MALFORMED);
	bench_refused(
		bench_batch("/v1/results", "results", "1", "application/json", "{\"x\":1}", 7), 400, REASON_UNKNOWN_FIELD);
	assert_true(state_is("r-1", "queued"));
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 0);
	/* The id is another site's. */
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET site = 'acme-2'", ""), 0);
	bench_refused(send_result("1", "result", "r-1", NULL, 1, bench.courier), 422, REASON_CONFLICT);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM requests WHERE result IS NOT NULL"), 0);
}

/* Whoever has the key that a site gave up, and its courier's, answers nothing; what the site signed again is its word. */
static void
test_a_former_site_key_answers_nothing(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *next = NULL;

	(void)state;
	assert_int_equal(ed25519_generate(&next), 0);
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(db_exec(databases_fleet(serve_databases(bench.serve)), "UPDATE sites SET key = ?1", "b",
				 ed25519_public(next), (size_t)32),
		0);
	bench_refused(send_result("1", "result", "r-1", NULL, 1, bench.courier), 422, REASON_UNKNOWN_KEY);
	bench_refused(send_result("1", "plan", "r-1", "ask", 1, bench.courier), 422, REASON_UNKNOWN_KEY);
	assert_true(state_is("r-1", "queued"));
	cosigner = next;
	assert_int_equal(send_result("1", "result", "r-1", NULL, 1, bench.courier)->status, 200);
	cosigner = NULL;
	assert_true(state_is("r-1", "done"));
}

static void
test_answers_to_requests_that_the_hub_never_had_have_an_end(void **state)
{
	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO requests(id, site, customer, n, engineer, service, operation, digest, state,"
				 " created, changed, expires) SELECT 'by-file-' || i, 'acme-1', '', 0, '', '', '', x'00', 'done', 1, 1, 1"
				 " FROM n",
				 "i", (int64_t)MAILBOX_HUB_BY_FILE_MAX),
		0);
	bench_refused(send_result("1", "result", "one-more", NULL, 9, bench.courier), 422, REASON_BUSY);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM requests"), MAILBOX_HUB_BY_FILE_MAX + 1);
	assert_int_equal(send_result("1", "result", "r-1", NULL, 1, bench.courier)->status, 200);
}

/* An answer whose envelope is the site's and says nothing of a request. */
static struct bench_call *
send_wordless(const char *sequence)
{
	SCOPED_JSON *payload = json_pack("{s:s}", "outcome", "ok");
	SCOPED_JSON *envelope = NULL;
	SCOPED_JSON *doc = NULL;
	struct bench_call *c;
	char *text;

	assert_int_equal(envelope_seal(&envelope, MESSAGE_RESULT, payload, bench.courier), 0);
	doc = json_pack("{s:i, s:s, s:s, s:O}", "v", 1, "kind", "result", "request", "r-1", "envelope", envelope);
	text = json_dumps(doc, JSON_COMPACT);
	c = bench_batch("/v1/results", "results", sequence, "application/json", text, strlen(text));
	free(text);
	return c;
}

static void
test_answers_of_no_request_or_no_site(void **state)
{
	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	bench_refused(send_wordless("1"), 400, REASON_MALFORMED);
	assert_int_equal(db_exec(databases_fleet(serve_databases(bench.serve)), "DELETE FROM sites", ""), 0);
	bench_refused(send_result("1", "result", "r-1", NULL, 1, bench.courier), 422, REASON_NOT_FOUND);
	assert_true(state_is("r-1", "queued"));
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 0);
}

/* Operations alone that ran: what waits and what was denied changed nothing there. */
static void
test_what_ran_on_a_site_is_told_as_its_changes(void **state)
{
	SCOPED_JSON *changes = json_array(), *others = json_array();

	(void)state;
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(put("r-2", 2), 0);
	assert_int_equal(put("r-3", 3), 0);
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET state = 'done', decision = 'allow', changed = ?1 WHERE id = 'r-2'", "i",
				 (int64_t)BENCH_NOW),
		0);
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET state = 'done', decision = 'deny' WHERE id = 'r-3'", ""), 0);
	assert_int_equal(serve_changes(bench.serve, "acme-1", bench_db(), changes), 0);
	assert_int_equal(json_array_size(changes), 1);
	assert_string_equal(json_text(json_array_get(changes, 0), "what"), "redis info by ada (r-2)");
	assert_string_equal(json_text(json_array_get(changes, 0), "service"), "redis");
	assert_string_equal(json_text(json_array_get(changes, 0), "time"), "2027-01-15T08:00:00.000Z");
	assert_int_equal(serve_changes(bench.serve, "acme-2", bench_db(), others), 0);
	assert_int_equal(json_array_size(others), 0);
}

/* On a site's page: what is on its way there, oldest first. */
static void
test_what_is_on_its_way_is_told_with_the_site(void **state)
{
	SCOPED_JSON *page = json_object();
	struct registry_site site = { .site = "acme-1", .customer = "acme" };

	(void)state;
	assert_int_equal(put("r-2", 2), 0);
	assert_int_equal(put("r-1", 1), 0);
	assert_int_equal(put("r-3", 3), 0);
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET created = n, state = 'waiting' WHERE id <> 'r-3'", ""), 0);
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET state = 'done' WHERE id = 'r-3'", ""), 0);
	assert_int_equal(serve_site(bench.serve, &site, bench_db(), page), 0);
	assert_int_equal(json_array_size(json_object_get(page, "requests")), 2);
	assert_string_equal(json_text(json_array_get(json_object_get(page, "requests"), 0), "id"), "r-2");
	assert_string_equal(json_text(json_array_get(json_object_get(page, "requests"), 1), "state"), "waiting");
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET expires = 1", ""), 0);
	assert_int_equal(serve_site(bench.serve, &site, bench_db(), page), 0);
	assert_int_equal(json_array_size(json_object_get(page, "requests")), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_request_waits_until_it_is_acknowledged),
		TEST(test_the_same_request_is_one_and_another_conflicts),
		TEST(test_numbers_go_on_where_the_site_is),
		TEST(test_an_acknowledgement_far_ahead_is_refused),
		TEST(test_polls_are_parked_replaced_and_drained),
		TEST(test_a_poll_ends_with_its_time_or_its_peer),
		TEST(test_a_parked_poll_of_who_lost_the_key_gets_nothing),
		TEST(test_a_parked_poll_of_who_was_revoked_gets_nothing),
		TEST(test_polls_that_ask_too_much),
		TEST(test_those_who_wait_for_a_request_hear_of_it),
		TEST(test_who_waits_for_another_request_goes_on_waiting),
		TEST(test_a_request_may_go_while_somebody_waits_for_it),
		TEST(test_lists_leave_out_other_customers_without_a_word),
		TEST(test_plans_and_results_come_back),
		TEST(test_what_is_no_word_of_the_site_on_this_request),
		TEST(test_a_former_site_key_answers_nothing),
		TEST(test_answers_of_no_request_or_no_site),
		TEST(test_answers_to_requests_that_the_hub_never_had_have_an_end),
		TEST(test_what_ran_on_a_site_is_told_as_its_changes),
		TEST(test_what_is_on_its_way_is_told_with_the_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
