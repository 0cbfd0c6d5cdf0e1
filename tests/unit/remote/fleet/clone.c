/* Two that speak as one site, as the hub comes to see it. */
#include "remote/fleet/clone.h"

#include "appliance/trust/envelope.h"
#include "remote/fleet/fleet.h"
#include "tests/fakes/hub_bench.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char alert[256]; /* the last one, "" none, "over" */
static unsigned alerts;

static int
on_alert(void *state, struct db *customer, const char *site, const char *name, const char *text, bool firing)
{
	(void)state;
	(void)customer;
	assert_string_equal(site, "acme-1");
	assert_string_equal(name, "cloned");
	(void)snprintf(alert, sizeof(alert), "%s", firing ? text : "over");
	alerts++;
	return 0;
}

static const struct serve_module inbox = { .name = "inbox", .alert = on_alert };
static const struct serve_module *const modules[] = { &fleet_module, &inbox, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	alert[0] = '\0';
	alerts = 0;
	return 0;
}

/* "clone" of the acknowledgement; NULL: none. */
static json_t *
say(const char *sequence, int counter, const char *epoch, const char *address)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s, s:s, s:i}", "v", 1, "site", "acme-1", "epoch", epoch, "counter",
		counter);
	SCOPED_JSON *envelope = NULL, *answer = NULL;
	SCOPED(scope_free) char *text = NULL;
	struct bench_call *c;

	assert_int_equal(envelope_seal(&envelope, MESSAGE_STATEMENT, payload, bench.courier), 0);
	text = json_dumps(envelope, JSON_COMPACT);
	c = bench_new("POST", "/v1/heartbeat", text, strlen(text));
	bench_header(c, "content-type", "application/json");
	bench_header(c, "mainstay-stream", "heartbeat");
	bench_header(c, "mainstay-sequence", sequence);
	if (address)
		bench_header(c, "x-real-ip", address);
	bench_sign(c, bench.courier);
	bench_send(c);
	assert_int_equal(c->status, 200);
	answer = bench_json(c);
	return json_incref(json_object_get(answer, "clone"));
}

static const char *
status(void)
{
	static char text[16];
	struct registry_site site;

	assert_int_equal(registry_site_get(serve_databases(bench.serve), "acme-1", &site), 0);
	(void)snprintf(text, sizeof(text), "%s", site.status);
	registry_site_done(&site);
	return text;
}

static void
test_one_site_is_one_whatever_it_lives_through(void **state)
{
	(void)state;
	assert_null(say("1", 1, A, "192.0.2.1"));
	assert_null(say("1", 1, A, "192.0.2.1")); /* an answer was lost */
	assert_null(say("2", 2, A, "192.0.2.9"));  /* another way out */
	assert_null(say("5", 7, B, "192.0.2.9"));  /* a reboot, and some that were dropped for room */
	assert_null(say("6", 8, B, NULL));
	bench_restart(modules);
	assert_null(say("7", 9, B, NULL));
	assert_string_equal(status(), "accepted");
	assert_int_equal(alerts, 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM clones"), 0);
}

static void
test_each_way_two_can_collide_is_seen(void **state)
{
	static const struct {
		const char *what, *sequence;
		int counter;
		const char *epoch, *kind;
	} rows[] = {
		{ "an epoch that comes back", "3", 3, A, "epoch" },
		{ "a counter that was passed", "3", 1, B, "counter" },
		{ "a counter that is behind, under a new epoch", "3", 1, "cc", "counter" },
		{ "a sequence with other content", "2", 3, B, "sequence" },
		{ "a sequence with other content, of the former life", "1", 3, B, "sequence" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *notice = NULL, *page = NULL;
		const json_t *clone;

		assert_null(say("1", 1, A, "192.0.2.1"));
		assert_null(say("2", 2, B, "192.0.2.1"));
		notice = say(rows[i].sequence, rows[i].counter, rows[i].epoch, "198.51.100.7");
		if (!notice)
			fail_msg("%s: not seen", rows[i].what);
		assert_string_equal(json_text(notice, "kind"), rows[i].kind);
		assert_string_equal(json_text(notice, "key"), ed25519_public_hex(bench.courier));
		assert_string_equal(status(), "cloned");
		assert_int_equal(alerts, 1);
		assert_non_null(strstr(alert, "192.0.2.1"));
		assert_non_null(strstr(alert, "198.51.100.7"));
		page = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1", NULL, 0));
		assert_string_equal(json_text(page, "status"), "cloned");
		clone = json_object_get(page, "clone");
		assert_string_equal(json_text(json_object_get(clone, "first"), "epoch"), B);
		assert_string_equal(json_text(json_object_get(clone, "second"), "epoch"), rows[i].epoch);
		assert_true(json_is_object(json_object_get(json_object_get(clone, "second"), "statement")));
		bench_close();
		assert_int_equal(setup(state), 0);
	}
}

/* The last word of a site is its highest, and a mark stays until an engineer looked. */
static void
test_a_mark_stays_until_the_site_is_accepted_anew(void **state)
{
	SCOPED_JSON *notice = NULL, *again = NULL;
	SCOPED(scope_free) char *payload = NULL;

	(void)state;
	assert_null(say("1", 5, A, NULL));
	notice = say("2", 3, B, NULL);
	assert_non_null(notice);
	assert_int_equal(registry_statement_get(bench_db(), "acme-1", NULL, &payload), 0);
	assert_non_null(strstr(payload, "\"counter\":5"));
	again = say("3", 6, A, NULL);
	assert_non_null(again);
	assert_int_equal(alerts, 1);
	assert_int_equal(registry_site_accept(serve_databases(bench.serve), "acme-1", "{}"), 0);
	assert_null(say("4", 7, A, NULL));
	assert_string_equal(alert, "over");
	assert_string_equal(status(), "accepted");
	json_decref(again);
	again = say("5", 4, B, NULL); /* the other one is still there */
	assert_non_null(again);
	assert_int_equal(alerts, 3);
	assert_string_equal(status(), "cloned");
}

/* Old statements under the next numbers, as a thief of the courier's key can post them, do not silence the site. */
static void
test_a_number_taken_by_an_old_statement_hides_no_newer_one(void **state)
{
	SCOPED(scope_free) char *payload = NULL;
	SCOPED_JSON *notice = NULL;

	(void)state;
	assert_null(say("1", 4, A, NULL));
	assert_null(say("2", 4, A, NULL)); /* the same again: the thief's */
	notice = say("2", 5, A, NULL);
	assert_string_equal(json_text(notice, "kind"), "sequence");
	assert_int_equal(registry_statement_get(bench_db(), "acme-1", NULL, &payload), 0);
	assert_non_null(strstr(payload, "\"counter\":5"));
	json_decref(say("2", 3, A, NULL));
	free(STEAL(payload));
	assert_int_equal(registry_statement_get(bench_db(), "acme-1", NULL, &payload), 0);
	assert_non_null(strstr(payload, "\"counter\":5"));
}

/* What is not signed by the site's key is no life of it. */
static void
test_a_repetition_that_is_no_statement_marks_nobody(void **state)
{
	(void)state;
	assert_null(say("1", 1, A, NULL));
	assert_int_equal(bench_batch("/v1/heartbeat", "heartbeat", "1", "application/json", "{}", 2)->status, 200);
	assert_string_equal(status(), "accepted");
	assert_int_equal(alerts, 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_site_is_one_whatever_it_lives_through),
		TEST(test_each_way_two_can_collide_is_seen),
		TEST(test_a_mark_stays_until_the_site_is_accepted_anew),
		TEST(test_a_number_taken_by_an_old_statement_hides_no_newer_one),
		TEST(test_a_repetition_that_is_no_statement_marks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
