/* What a flood cannot do to the hub: by one engineer, by all of them, by whoever has a site's keys. */
#include "remote/mailbox/mailbox_hub.h"

#include "appliance/trust/envelope.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/progress.h"
#include "remote/request/request.h"
#include "tests/fakes/hub_bench.h"

static struct serve_module mailbox;
static const struct serve_module *const modules[] = { &mailbox, NULL };
static void *kept_state; /* of the module */

enum { HOUR_S = 3600 };

static int
open_mailbox(void **ret_state, struct serve *serve)
{
	int r = mailbox_hub_module.open(ret_state, serve);

	kept_state = *ret_state;
	return r;
}

static int
setup(void **state)
{
	(void)state;
	mailbox = mailbox_hub_module;
	mailbox.open = open_mailbox;
	bench_open(modules);
	return 0;
}

/* A request of an engineer at a site, good for an hour. */
static int
put(const char *id, const char *site, const char *engineer)
{
	struct request request = { .id = id, .site = site, .customer = "acme", .service = "redis", .operation = "info",
		.engineer = engineer, .expires_us = BENCH_NOW + HOUR_S * CLOCK_US_PER_S, .digest = { 1 } };
	uint64_t n;

	memset(request.digest, 1, sizeof(request.digest));
	return mailbox_store_add(
		bench_db(), MAILBOX_KIND_REQUEST, &request, "{\"payload\":\"\",\"sigs\":[]}", BENCH_NOW, &n);
}

static int64_t
count(const char *sql)
{
	return bench_count(bench_db(), sql);
}

static void
change(const char *sql)
{
	assert_int_equal(db_exec(bench_db(), sql, ""), 0);
}

static void
busy(const char *id, const char *site, const char *engineer, const char *says)
{
	uint64_t before = refuse_count(REASON_BUSY);
	int64_t rows = count("SELECT count(*) FROM requests"), last = count("SELECT sum(last) FROM mailboxes");

	assert_int_equal(put(id, site, engineer), REASON_BUSY);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_non_null(strstr(refuse_last()->text, says));
	assert_int_equal(count("SELECT count(*) FROM requests"), rows);
	assert_int_equal(count("SELECT sum(last) FROM mailboxes"), last);
}

static void
test_one_engineer_takes_nobody_elses_place(void **state)
{
	char id[32];

	(void)state;
	for (int i = 0; i < REQUEST_PENDING_ENGINEER_MAX; i++) {
		(void)snprintf(id, sizeof(id), "r-%d", i);
		assert_int_equal(put(id, "acme-1", "eve"), 0);
	}
	busy("r-more", "acme-1", "eve", "has 8 requests on their way to acme-1");
	assert_int_equal(put("r-0", "acme-1", "eve"), 0); /* one that is there already is no more */
	assert_int_equal(put("r-ada", "acme-1", "ada"), 0);
	assert_int_equal(put("r-other", "acme-2", "eve"), 0);
	/* What is answered, and what has ended, takes no place. */
	change("UPDATE requests SET state = 'done' WHERE id = 'r-1'");
	assert_int_equal(put("r-9", "acme-1", "eve"), 0);
	busy("r-more", "acme-1", "eve", "has 8");
	change("UPDATE requests SET expires = 1 WHERE id = 'r-2'");
	assert_int_equal(put("r-10", "acme-1", "eve"), 0);
	busy("r-more", "acme-1", "eve", "has 8");
	change("UPDATE requests SET state = 'waiting' WHERE id = 'r-3'");
	busy("r-more", "acme-1", "eve", "has 8");
}

static void
test_a_site_is_full_some_time(void **state)
{
	char id[32], name[32];

	(void)state;
	for (int i = 0; i < REQUEST_PENDING_MAX; i++) {
		(void)snprintf(id, sizeof(id), "r-%d", i);
		(void)snprintf(name, sizeof(name), "e%d", i / REQUEST_PENDING_ENGINEER_MAX);
		assert_int_equal(put(id, "acme-1", name), 0);
	}
	busy("r-more", "acme-1", "ada", "has 64 requests on their way");
	assert_int_equal(put("r-other", "acme-2", "ada"), 0);
}

static void
test_what_nobody_fetched_in_time_is_given_to_nobody(void **state)
{
	struct bench_call *c, *wait;
	SCOPED_JSON *doc = NULL, *page = NULL;

	(void)state;
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	wait = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30&state=queued", NULL, 0);
	assert_int_equal(wait->status, 0);
	change("UPDATE requests SET expires = 1");
	c = bench_ask(bench.courier, "GET", "/v1/mailbox", NULL, 0);
	doc = bench_json(c);
	assert_int_equal(json_array_size(json_object_get(doc, "items")), 0);
	mailbox.tick(kept_state, BENCH_NOW);
	assert_int_equal(wait->status, 200);
	page = bench_json(wait);
	assert_string_equal(json_text(page, "state"), "expired");
	/* There is nothing more to wait for. */
	assert_int_equal(
		bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30&state=expired", NULL, 0)->status, 200);
}

static void
test_a_site_has_so_many_rows_and_bytes(void **state)
{
	(void)state;
	assert_int_equal(put("r-open", "acme-1", "ada"), 0);
	change("UPDATE requests SET changed = 0");
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO requests(id, site, customer, n, engineer, service, operation, digest, state,"
				 " created, changed, expires, bytes) SELECT 'old-' || i, 'acme-1', 'acme', i, '', '', '', x'00', 'done', i, i, 1,"
				 " 1 FROM n",
				 "i", (int64_t)MAILBOX_HUB_KEPT_MAX),
		0);
	/* What is over goes, oldest first; what is not stays, however old. */
	assert_int_equal(put("r-new", "acme-1", "ada"), 0);
	assert_int_equal(count("SELECT count(*) FROM requests"), MAILBOX_HUB_KEPT_MAX);
	assert_int_equal(count("SELECT count(*) FROM requests WHERE id IN ('old-1', 'old-2')"), 0);
	assert_int_equal(count("SELECT count(*) FROM requests WHERE id IN ('r-open', 'r-new', 'old-3')"), 3);
	assert_int_equal(db_exec(bench_db(), "UPDATE requests SET bytes = ?1 WHERE id = 'old-4'", "i",
				 (int64_t)MAILBOX_HUB_BYTES_MAX),
		0);
	assert_int_equal(put("r-3", "acme-1", "ada"), 0);
	assert_int_equal(count("SELECT count(*) FROM requests WHERE id IN ('old-3', 'old-4')"), 0);
	assert_int_equal(count("SELECT count(*) FROM requests WHERE id IN ('r-open', 'r-3', 'old-6')"), 3);
	/* Another site's are another's. */
	assert_int_equal(put("r-4", "acme-2", "ada"), 0);
	assert_int_equal(count("SELECT count(*) FROM requests WHERE site = 'acme-2'"), 1);
}

/* --- what is said meanwhile ------------------------------------------------------------------------------ */
static struct bench_call *
say(const char *sequence, const char *id, uint64_t n, uint8_t digest, const char *words, const struct ed25519 *key)
{
	struct progress p = { .n = n, .time_us = BENCH_NOW, .kind = PROGRESS_OUT, .text = words };
	SCOPED_JSON *payload = NULL, *doc = NULL;
	json_t *envelope = NULL;
	struct bench_call *c;
	char *text;

	memset(p.request, digest, sizeof(p.request));
	assert_int_equal(progress_json(&payload, &p), 0);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_PROGRESS, payload, key), 0);
	doc = json_pack("{s:i, s:s, s:s, s:o}", "v", 1, "kind", "progress", "request", id, "envelope", envelope);
	text = json_dumps(doc, JSON_COMPACT);
	c = bench_batch("/v1/results", "results", sequence, "application/json", text, strlen(text));
	c->pub.body = NULL;
	free(text);
	return c;
}

static size_t
heard(const char *target)
{
	struct bench_call *c = bench_ask(bench.engineer, "GET", target, NULL, 0);
	SCOPED_JSON *doc = NULL;

	assert_int_equal(c->status, 200);
	doc = bench_json(c);
	return json_array_size(json_object_get(doc, "progress"));
}

static void
test_progress_is_told_to_who_waits(void **state)
{
	struct bench_call *wait;

	(void)state;
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	change("UPDATE requests SET state = 'delivered'");
	wait = bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?wait=30&state=delivered&progress=0", NULL, 0);
	assert_int_equal(wait->status, 0);
	assert_int_equal(say("1", "r-1", 1, 1, "one", bench.courier)->status, 200);
	assert_int_equal(wait->status, 200);
	assert_int_equal(say("2", "r-1", 2, 1, "two", bench.courier)->status, 200);
	assert_int_equal(heard("/v1/fleet/requests/r-1?progress=0&wait=30&state=delivered"), 2);
	assert_int_equal(heard("/v1/fleet/requests/r-1?progress=1"), 1);
	assert_int_equal(heard("/v1/fleet/requests/r-1?progress=2"), 0);
	assert_int_equal(heard("/v1/fleet/requests/r-1"), 0); /* who did not ask hears nothing */
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/requests/r-1?progress=x", NULL, 0), 400,
		REASON_MALFORMED);
}

static void
test_progress_that_is_no_word_of_the_site(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;

	(void)state;
	assert_int_equal(ed25519_generate(&stranger), 0);
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	bench_refused(say("1", "r-1", 1, 2, "x", bench.courier), 422, REASON_ALTERED);
	bench_refused(say("1", "r-1", 1, 1, "x", stranger), 422, REASON_UNKNOWN_KEY);
	bench_refused(say("1", "r-1", 0, 1, "x", bench.courier), 400, REASON_MALFORMED);
	assert_int_equal(count("SELECT count(*) FROM progress"), 0);
	assert_int_equal(count("SELECT count(*) FROM streams"), 0);
}

/* Left out, and answered: it must not stand in the way of the result behind it. */
static void
test_progress_has_an_end(void **state)
{
	static char big[REQUEST_PROGRESS_MAX + 1];
	char sequence[16];
	int i = 1;

	(void)state;
	memset(big, 'x', REQUEST_PROGRESS_MAX);
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	for (; i <= 16; i++) {
		(void)snprintf(sequence, sizeof(sequence), "%d", i);
		assert_int_equal(say(sequence, "r-1", (uint64_t)i, 1, big, bench.courier)->status, 200);
	}
	assert_in_range(count("SELECT sum(bytes) FROM progress"), MAILBOX_WIRE_PROGRESS_MAX / 2, MAILBOX_WIRE_PROGRESS_MAX);
	/* A number that came before, a request that is not from here, one that is answered. */
	assert_int_equal(say("17", "r-1", 1, 1, "again", bench.courier)->status, 200);
	assert_int_equal(count("SELECT count(*) FROM progress WHERE envelope LIKE '%again%'"), 0);
	assert_int_equal(say("18", "by-file", 1, 7, "x", bench.courier)->status, 200);
	assert_int_equal(count("SELECT count(*) FROM progress WHERE id = 'by-file'"), 0);
	assert_int_equal(count("SELECT count(*) FROM requests WHERE id = 'by-file'"), 0);
	assert_int_equal(put("r-2", "acme-1", "ada"), 0);
	change("UPDATE requests SET state = 'done' WHERE id = 'r-2'");
	assert_int_equal(say("19", "r-2", 1, 1, "x", bench.courier)->status, 200);
	assert_int_equal(count("SELECT count(*) FROM progress WHERE id = 'r-2'"), 0);
}

static void
test_progress_of_many_requests_has_an_end(void **state)
{
	bool kept;

	(void)state;
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO progress(id, n, site, bytes, envelope) SELECT 'o-' || i, 1, 'acme-1', 1, '{}' FROM n",
				 "i", (int64_t)REQUEST_PENDING_MAX - 1),
		0);
	assert_int_equal(mailbox_live_progress(bench_db(), "acme-1", "r-1", 1, "{}", &kept), 0);
	assert_true(kept);
	change("DELETE FROM progress WHERE id = 'r-1'");
	change("INSERT INTO progress(id, n, site, bytes, envelope) VALUES('o-0', 1, 'acme-1', 1, '{}')");
	assert_int_equal(mailbox_live_progress(bench_db(), "acme-1", "r-1", 1, "{}", &kept), 0);
	assert_false(kept);
	/* One request of as many lines as it likes. */
	change("DELETE FROM progress");
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO progress(id, n, site, bytes, envelope) SELECT 'r-1', i, 'acme-1', 1, '{}' FROM n",
				 "i", (int64_t)MAILBOX_WIRE_PROGRESS_ROWS),
		0);
	assert_int_equal(mailbox_live_progress(bench_db(), "acme-1", "r-1", 5000, "{}", &kept), 0);
	assert_false(kept);
	/* Of requests that went nothing stays. */
	change("DELETE FROM requests");
	mailbox.tick(kept_state, BENCH_NOW);
	assert_int_equal(count("SELECT count(*) FROM progress"), 0);
}

static void
test_progress_goes_with_the_result(void **state)
{
	uint8_t digest[32];

	(void)state;
	memset(digest, 1, sizeof(digest));
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	assert_int_equal(say("1", "r-1", 1, 1, "one", bench.courier)->status, 200);
	assert_int_equal(mailbox_store_answer(bench_db(), "acme-1", "r-1", digest, NULL, "allow", "{}", BENCH_NOW), 0);
	assert_int_equal(count("SELECT count(*) FROM progress"), 1);
	assert_int_equal(mailbox_store_answer(bench_db(), "acme-1", "r-1", digest, "ok", "", "{}", BENCH_NOW), 0);
	assert_int_equal(count("SELECT count(*) FROM progress"), 0);
	assert_int_equal(count("SELECT bytes FROM requests"), (int64_t)strlen("{\"payload\":\"\",\"sigs\":[]}{}{}"));
}

/* --- polls ------------------------------------------------------------------------------------------------ */
static void
test_one_login_waits_in_so_many_places(void **state)
{
	char id[32], target[96];

	(void)state;
	for (int i = 0; i <= MAILBOX_HUB_WAITERS_LOGIN_MAX; i++) {
		(void)snprintf(id, sizeof(id), "r-%d", i);
		(void)snprintf(target, sizeof(target), "site-%d", i);
		assert_int_equal(put(id, target, "ada"), 0);
	}
	for (int i = 0; i < MAILBOX_HUB_WAITERS_LOGIN_MAX; i++) {
		(void)snprintf(target, sizeof(target), "/v1/fleet/requests/r-%d?wait=30", i);
		assert_int_equal(bench_ask(bench.engineer, "GET", target, NULL, 0)->status, 0);
	}
	(void)snprintf(target, sizeof(target), "/v1/fleet/requests/r-%d?wait=30", MAILBOX_HUB_WAITERS_LOGIN_MAX);
	{
		struct bench_call *c = bench_ask(bench.engineer, "GET", target, NULL, 0);

		bench_refused(c, 429, REASON_BUSY);
		assert_string_equal(http_call_added(&c->pub, "Retry-After"), "5");
	}
	/* The couriers do not notice. */
	assert_int_equal(bench_ask(bench.courier, "GET", "/v1/mailbox?wait=30", NULL, 0)->status, 0);
}

static void
test_it_is_counted(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 20);

	(void)state;
	assert_int_equal(put("r-1", "acme-1", "ada"), 0);
	assert_int_equal(say("1", "r-1", 1, 1, "one", bench.courier)->status, 200);
	assert_int_equal(say("2", "r-1", 1, 1, "one", bench.courier)->status, 200);
	change("UPDATE requests SET expires = 1");
	mailbox.tick(kept_state, BENCH_NOW);
	mailbox.metrics(kept_state, &out);
	assert_non_null(strstr(buf_text(&out), "\nmainstay_hub_mailbox_progress_total 2\n"));
	assert_non_null(strstr(buf_text(&out), "\nmainstay_hub_mailbox_progress_left_out_total 1\n"));
	assert_non_null(strstr(buf_text(&out), "\nmainstay_hub_mailbox_expired_total 1\n"));
	assert_non_null(strstr(buf_text(&out), "\nmainstay_hub_mailbox_busy_total 0\n"));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_engineer_takes_nobody_elses_place),
		TEST(test_a_site_is_full_some_time),
		TEST(test_what_nobody_fetched_in_time_is_given_to_nobody),
		TEST(test_a_site_has_so_many_rows_and_bytes),
		TEST(test_progress_is_told_to_who_waits),
		TEST(test_progress_that_is_no_word_of_the_site),
		TEST(test_progress_has_an_end),
		TEST(test_progress_of_many_requests_has_an_end),
		TEST(test_progress_goes_with_the_result),
		TEST(test_one_login_waits_in_so_many_places),
		TEST(test_it_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
