#include "telemetry/alert/alert_inbox.h"
#include "telemetry/alert/alert_store.h"

#include "tests/fakes/hub_bench.h"

enum { LONG = 600 };

static const struct serve_module *const modules[] = { &alert_inbox_module, NULL };

static char long_text[LONG];

static int
setup(void **state)
{
	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	bench_open(modules);
	return 0;
}

static struct otlp_text
text(const char *p)
{
	return (struct otlp_text){ p, strlen(p) };
}

enum { ALERT, SERVICE, SEVERITY, STATE, SINCE, MEMBERS };

/* A firing alert, but for one attribute (MEMBERS: none) that is something else; NULL: nothing. */
static int
take_via(const char *via, int member, const char *instead, struct otlp_value body)
{
	static const char *const names[MEMBERS] = { "alert", "service", "severity", "state",
		"since" };
	const char *const said[MEMBERS] = { instead && strcmp(instead, "mainstay") == 0 ? "SiteSilent" : "down", "redis", "critical", "firing",
		"2026-11-21T10:00:00.000Z" };
	struct otlp_attribute attributes[MEMBERS];
	struct otlp_record record = {
		.event_name = text("mainstay.alert"), .body = body, .attributes = attributes
	};

	for (int i = 0; i < MEMBERS; i++) {
		const char *value = i == member ? instead : said[i];

		if (value)
			attributes[record.n_attributes++] = (struct otlp_attribute){ text(names[i]),
				{ .kind = OTLP_VALUE_TEXT, .text = text(value) } };
	}
	return alert_inbox_record(bench_db(), "acme-1", via, &record);
}

static int
take(int member, const char *instead, struct otlp_value body)
{
	return take_via("", member, instead, body);
}

static const struct otlp_value short_body = { .kind = OTLP_VALUE_TEXT, .text = { "x", 1 } };
static const struct otlp_value long_body = { .kind = OTLP_VALUE_TEXT, .text = { long_text, LONG } };

static void
test_a_record_that_is_no_alert_leaves_nothing(void **state)
{
	static const struct {
		const char *what;
		int member;
		const char *instead;
		enum reason reason;
	} rows[] = {
		{ "an alert without a name", ALERT, NULL, REASON_MALFORMED },
		{ "an alert with an empty name", ALERT, "", REASON_MALFORMED },
		{ "an alert of no service", SERVICE, NULL, REASON_MALFORMED },
		{ "an alert under the hub's own name", SERVICE, "the hub", REASON_MALFORMED },
		{ "an alert under another sender's name", SERVICE, "otlp:redis", REASON_MALFORMED },
		{ "an alert of a severity too long", SEVERITY,
			"the worst that anybody has ever seen here", REASON_MALFORMED },
		{ "a silence, which is the hub's to say", SERVICE, "mainstay", REASON_MALFORMED },
		{ "an alert in no state", STATE, "sideways", REASON_MALFORMED },
		{ "an alert since no time", SINCE, "yesterday", REASON_MALFORMED },
		{ "an alert whose text is too long", MEMBERS, "long", REASON_TOO_LARGE },
	};
	uint64_t seen = alert_store_count();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(rows[i].reason);
		int r = take(rows[i].member, rows[i].instead,
			rows[i].member == MEMBERS ? long_body : short_body);

		if (r != (int)rows[i].reason || refuse_last()->reason != rows[i].reason ||
			refuse_count(rows[i].reason) != before + 1)
			fail_msg("%s: %d", rows[i].what, r);
	}
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts"), 0);
	assert_int_equal(alert_store_count(), seen);
}

static void
test_a_site_has_so_many_alerts_and_no_more(void **state)
{
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	(void)state;
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
				 "WHERE i < ?1)"
				 " INSERT INTO alerts(site, service, name, state, severity, text, "
				 "since, changed)"
				 " SELECT 'acme-1', '', 'a' || i, 'firing', '', '', 0, 0 FROM n",
				 "i", (int64_t)ALERT_STORE_OPEN_MAX),
		0);
	assert_int_equal(take(MEMBERS, NULL, short_body), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE service <> 'the hub'"),
		ALERT_STORE_OPEN_MAX);
	/* The hub says so, once. */
	assert_int_equal(take(MEMBERS, NULL, short_body), REASON_TOO_LARGE);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT count(*) FROM alerts WHERE service = 'the hub' AND name = 'AlertFlood' AND state = 'firing'"),
		1);
	/* Another sender's are counted apart. */
	assert_int_equal(take_via("otlp:", MEMBERS, NULL, short_body), 0);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT count(*) FROM alerts WHERE service = 'otlp:redis'"),
		1);
	/* What resolves is still taken. */
	assert_int_equal(take(STATE, "resolved", short_body), 0);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT count(*) FROM alerts WHERE state = 'resolved'"),
		1);
}

static void
test_only_an_alert_that_is_there_is_acknowledged(void **state)
{
	struct auth_identity bob = { .kind = AUTH_ENGINEER,
		.engineer = "bob",
		.customers = ",*,",
		.ssh_key = "ssh-ed25519 AAAA" };
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	uint64_t before = refuse_count(REASON_NOT_FOUND);

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	memcpy(bob.key, ed25519_public(key), 32);
	memcpy(bob.keyid, ed25519_keyid(key), 65);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &bob, BENCH_NOW * 2), 0);
	assert_int_equal(take(MEMBERS, NULL, short_body), 0);
	bench_refused(bench_ask(key, "POST", "/v1/fleet/alerts/acme.2/ack", "{}", 2), 404,
		REASON_NOT_FOUND);
	bench_refused(bench_ask(key, "POST", "/v1/fleet/alerts/acme/ack", "{}", 2), 404,
		REASON_NOT_FOUND);
	bench_refused(bench_ask(key, "POST", "/v1/fleet/alerts/globex.1/ack", "{}", 2), 404,
		REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 3);
	/* Asking made no file of a customer that is none. */
	assert_false(databases_has(serve_databases(bench.serve), "globex"));
	assert_int_equal(bench_count(bench_db(),
				 "SELECT count(*) FROM alerts WHERE acknowledged = 0"),
		1);
	assert_int_equal(bench_ask(key, "POST", "/v1/fleet/alerts/acme.1/ack", "{}", 2)->status,
		200);
	assert_int_equal(bench_count(bench_db(),
				 "SELECT count(*) FROM alerts WHERE acknowledged_by = 'bob'"),
		1);
}

static void
test_the_list_leaves_out_other_customers_without_a_word(void **state)
{
	uint64_t before = bench_refusals();
	SCOPED_JSON *doc = NULL;
	struct db *other;

	(void)state;
	assert_int_equal(databases_customer(serve_databases(bench.serve), "globex", &other), 0);
	assert_int_equal(take(MEMBERS, NULL, short_body), 0);
	doc = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/alerts", NULL, 0));
	assert_int_equal(json_array_size(json_object_get(doc, "items")), 1);
	assert_int_equal(bench_refusals(), before);
}

/* A thief of the courier's key fills the inbox and says that all is well, and the hub's own alert fires. */
static void
test_the_hub_s_own_word_is_nobody_else_s(void **state)
{
	char name[24];

	(void)state;
	for (int i = 0; i < ALERT_STORE_OPEN_MAX; i++) {
		(void)snprintf(name, sizeof(name), "alert-%d", i);
		assert_int_equal(take(ALERT, name, short_body), 0);
	}
	assert_int_equal(serve_alert(bench.serve, bench_db(), "acme-1", "cloned", "two speak", true), 0);
	assert_int_equal(take(SERVICE, "the hub", short_body), REASON_MALFORMED);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE name = 'cloned' AND state = 'firing'"), 1);
	assert_int_equal(serve_alert(bench.serve, bench_db(), "acme-1", "cloned", "accepted anew", false), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE name = 'cloned' AND state = 'firing'"), 0);
}

/* Ends of what never fired take room, too. */
static void
test_alerts_that_are_over_fill_the_inbox_some_time(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO alerts(site, service, name, state, severity, text, since, changed)"
				 " SELECT 'acme-1', 's', 'n' || i, 'resolved', '', '', 1, 1 FROM n",
				 "i", (int64_t)ALERT_STORE_ROWS_MAX - 1),
		0);
	assert_int_equal(take(STATE, "resolved", short_body), 0);
	assert_int_equal(take(STATE, "resolved", short_body), 0); /* the same end: known */
	assert_int_equal(db_exec(bench_db(), "UPDATE alerts SET since = 2", ""), 0);
	before = refuse_count(REASON_TOO_LARGE);
	assert_int_equal(take(STATE, "resolved", short_body), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE service <> 'the hub'"),
		ALERT_STORE_ROWS_MAX);
	assert_int_equal(serve_alert(bench.serve, bench_db(), "acme-1", "cloned", "two speak", true), 0);
	assert_int_equal(db_exec(bench_db(), "UPDATE alerts SET site = 'acme-2'", ""), 0);
	assert_int_equal(take(MEMBERS, NULL, short_body), 0); /* another site's are no room of this one's */
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_record_that_is_no_alert_leaves_nothing),
		TEST(test_a_site_has_so_many_alerts_and_no_more),
		TEST(test_only_an_alert_that_is_there_is_acknowledged),
		TEST(test_the_list_leaves_out_other_customers_without_a_word),
		TEST(test_the_hub_s_own_word_is_nobody_else_s),
		TEST(test_alerts_that_are_over_fill_the_inbox_some_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
