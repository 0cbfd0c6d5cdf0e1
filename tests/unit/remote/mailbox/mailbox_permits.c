/* What a site says of its standing permits: the last one of its present life is kept, and shown with the site. */
#include "remote/mailbox/mailbox_hub.h"

#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "remote/request/permits.h"
#include "tests/fakes/hub_bench.h"

#define FIRST "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"

static const struct serve_module *const modules[] = { &mailbox_hub_module, NULL };
static char sequence[16];
static unsigned sent;

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	sent = 0;
	return 0;
}

static struct bench_call *
post(const char *body)
{
	struct bench_call *c;

	(void)snprintf(sequence, sizeof(sequence), "%u", ++sent);
	c = bench_batch("/v1/results", "results", sequence, "application/json", body, strlen(body));
	c->pub.body = NULL;
	return c;
}

static json_t *
message(const char *site, const char *epoch, uint64_t counter)
{
	const struct permits p = { .site = site, .epoch = epoch, .counter = counter, .time_us = BENCH_NOW };
	SCOPED_JSON *items = json_array();
	json_t *payload = NULL;

	assert_int_equal(permits_json(&payload, &p, items), 0);
	return payload;
}

static struct bench_call *
send_payload(json_t *take_payload, enum message type, const struct ed25519 *key, const char *request)
{
	SCOPED_JSON *payload = take_payload, *doc = NULL;
	SCOPED(scope_free) char *text = NULL;
	json_t *envelope = NULL;

	assert_int_equal(envelope_seal(&envelope, type, payload, key), 0);
	doc = json_pack("{s:i, s:s, s:s*, s:o}", "v", 1, "kind", "permits", "request", request, "envelope", envelope);
	text = json_dumps(doc, JSON_COMPACT);
	return post(text);
}

static int
say(const char *epoch, uint64_t counter)
{
	return send_payload(message("acme-1", epoch, counter), MESSAGE_PERMITS, bench.courier, NULL)->status;
}

/* The counter of what is shown; 0: nothing is. */
static int
shown_to(const uint8_t key[32])
{
	struct registry_site site = { .site = "acme-1", .customer = "acme" };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *page = json_object();

	memcpy(site.key, key, sizeof(site.key));
	assert_int_equal(serve_site(bench.serve, &site, bench_db(), page), 0);
	if (!json_object_get(page, "permits"))
		return 0;
	assert_int_equal(envelope_open_json(&e, MESSAGE_PERMITS, json_object_get(page, "permits")), 0);
	return (int)json_integer_value(json_object_get(e->payload, "counter"));
}

static int
shown(void)
{
	return shown_to(ed25519_public(bench.courier));
}

static void
state_epoch(const char *epoch)
{
	char payload[128];

	(void)snprintf(payload, sizeof(payload), "{\"epoch\":\"%s\"}", epoch);
	assert_int_equal(registry_statement_put(bench_db(), "acme-1", BENCH_NOW, "{}", payload), 0);
}

static void
test_the_last_one_is_kept(void **state)
{
	(void)state;
	assert_int_equal(shown(), 0);
	assert_int_equal(say(FIRST, 2), 200);
	assert_int_equal(shown(), 2);
	/* What is older is answered, so that it need not come again, and changes nothing. */
	assert_int_equal(say(FIRST, 1), 200);
	assert_int_equal(say(FIRST, 2), 200);
	assert_int_equal(shown(), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM permits"), 1);
	assert_int_equal(say(FIRST, 3), 200);
	assert_int_equal(shown(), 3);
	bench_restart(modules);
	assert_int_equal(shown(), 3);
}

/* A thief of the courier's key has what the site said in a former life. */
static void
test_of_another_life(void **state)
{
	(void)state;
	state_epoch(FIRST);
	assert_int_equal(say(FIRST, 5), 200);
	assert_int_equal(say(OTHER, 9), 200);
	assert_int_equal(shown(), 5);
	/* A folder that was put back begins where it was saved. */
	assert_int_equal(say(OTHER, 3), 200);
	state_epoch(OTHER);
	assert_int_equal(shown(), 9);
	assert_int_equal(say(OTHER, 10), 200);
	assert_int_equal(shown(), 10);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM permits"), 1); /* the former life's went */
}

static void
test_what_is_no_word_of_the_site(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;
	SCOPED_JSON *bad = message("acme-1", FIRST, 4);

	(void)state;
	assert_int_equal(ed25519_generate(&stranger), 0);
	assert_int_equal(say(FIRST, 3), 200);
	bench_refused(send_payload(message("acme-1", FIRST, 4), MESSAGE_PERMITS, stranger, NULL), 422, REASON_UNKNOWN_KEY);
	bench_refused(send_payload(message("acme-1", FIRST, 4), MESSAGE_STATEMENT, bench.courier, NULL), 422,
		REASON_BAD_SIGNATURE);
	bench_refused(send_payload(message("acme-2", FIRST, 4), MESSAGE_PERMITS, bench.courier, NULL), 422,
		REASON_WRONG_ADDRESSEE);
	assert_string_equal(refuse_last()->text, "the permits are another site's");
	bench_refused(send_payload(message("acme-1", FIRST, 4), MESSAGE_PERMITS, bench.courier, "r-1"), 400, REASON_MALFORMED);
	assert_string_equal(refuse_last()->text, "request is no id, or the kind is about none");
	json_object_set_new(bad, "counter", json_integer(0));
	bench_refused(send_payload(STEAL(bad), MESSAGE_PERMITS, bench.courier, NULL), 400, REASON_MALFORMED);
	assert_int_equal(shown(), 3);
	/* A site that changed its key says it anew: what the former one signed is shown to nobody. */
	assert_int_equal(shown_to(ed25519_public(stranger)), 0);
	assert_int_equal(db_exec(databases_fleet(serve_databases(bench.serve)), "UPDATE sites SET key = ?1", "b",
				 ed25519_public(stranger), (size_t)32),
		0);
	assert_int_equal(send_payload(message("acme-1", OTHER, 1), MESSAGE_PERMITS, stranger, NULL)->status, 200);
	assert_int_equal(shown_to(ed25519_public(stranger)), 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM permits"), 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_last_one_is_kept, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_of_another_life, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_word_of_the_site, setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
