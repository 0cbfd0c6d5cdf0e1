/* What the courier brings of the hub's answers: a record goes only by an acknowledgement of that very record. */
#include "appliance/monitor/courier_verbs.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/outbox.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

#define NOW   (UINT64_C(1795000000) * CLOCK_US_PER_S) /* November 2026 */
#define NONCE "00112233445566778899aabbccddeeff"

enum { BODY = 3 * 1024 * 1024 }; /* so that each record has a segment of its own, and goes alone */

static char digests[2][SHA256_TEXT_MAX]; /* of results 1 and 2 */

static int
set_up(void **state)
{
	SCOPED(scope_free) char *body = calloc(1, BODY);
	struct site_test *t;

	clock_fake(NOW, 5000 * CLOCK_US_PER_S);
	assert_int_equal(site_set_up_recorded(state), 0);
	t = *state;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t sequence = 0;
		uint8_t digest[SHA256_LEN];

		memset(body, 'a' + (int)i, BODY);
		assert_int_equal(outbox_put(t->m->outbox, "results", "result", "/v1/results", "application/json", body,
					 BODY, NOW, &sequence),
			0);
		assert_int_equal(sequence, i + 1);
		sha256_of(digest, body, BODY);
		if (i < ARRAY_LEN(digests))
			sha256_text(digests[i], digest);
	}
	return 0;
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

/* The hub's signed answer, brought as one to record 1 of results. */
static int
bring(struct site_test *t, int status, const char *body)
{
	struct httpsig_message msg = { .status = status };
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32];
	char text[8];
	int r;

	(void)snprintf(text, sizeof(text), "%d", status);
	sha256_of(digest, body, strlen(body));
	assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, NONCE, t->reply, NOW), 0);
	r = site_call(t, CALL_ROLE_COURIER, "outbox.reply",
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "stream", "results", "sequence", "1", "nonce", NONCE,
			"status", text, "signature_input", fields.input, "signature", fields.signature,
			"content_digest", fields.digest),
		body, strlen(body), NULL);
	httpsig_fields_done(&fields);
	return r;
}

static bool
kept(struct site_test *t, uint64_t sequence)
{
	uint8_t digest[SHA256_LEN];
	int r = outbox_digest(t->m->outbox, "results", sequence, digest);

	assert_true(r == 0 || r == REASON_NOT_FOUND);
	return r == 0;
}

static char ack_room[512];

static const char *
ack(const char *site, const char *stream, int sequence, const char *digest)
{
	(void)snprintf(ack_room, sizeof(ack_room),
		"{\"v\":1,\"site\":\"%s\",\"stream\":\"%s\",\"sequence\":%d,\"sha256\":\"%s\"}", site, stream, sequence,
		digest);
	return ack_room;
}

static void
the_acknowledgement_of_a_record_lets_it_go(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_false(kept(t, 1));
	assert_true(kept(t, 2));
	/* again, as it comes after a restart of the courier */
	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_true(kept(t, 2));
}

static void
the_acknowledgement_of_anything_else_does_not(void **state)
{
	static const struct {
		const char *site, *stream;
		int sequence;
		unsigned digest;
		enum reason reason;
	} rows[] = {
		{ "site2", "results", 1, 0, REASON_WRONG_ADDRESSEE },
		{ "site1", "heartbeat", 1, 0, REASON_WRONG_ADDRESSEE },
		{ "site1", "results", 2, 1, REASON_WRONG_ADDRESSEE },
	};
	static const char *const bodies[] = { "", "{}", "[]", "\x08\x01",
		"{\"v\":2,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1}",
		"{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1,\"sha256\":\"00\"}" };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		site_refused(t,
			bring(t, 200,
				ack(rows[i].site, rows[i].stream, rows[i].sequence, digests[rows[i].digest])),
			rows[i].reason);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		site_refused(t, bring(t, 200, bodies[i]), REASON_MALFORMED);
	/* an answer that commits nothing, and one whose hub does not know what was there */
	assert_int_equal(bring(t, 503, ack("site1", "results", 1, digests[0])), 0);
	assert_int_equal(bring(t, 200, "{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1}"), 0);
	assert_true(kept(t, 1));
}

/* Somebody else gave the hub a record under that number. */
static void
an_acknowledgement_of_another_record_means_a_second_site(void **state)
{
	struct site_test *t = *state;
	uint64_t count = refuse_count(REASON_CONFLICT);

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[1])), REASON_CONFLICT);
		assert_int_equal(refuse_count(REASON_CONFLICT), count + i + 1);
		assert_int_equal(audit_size(t->m->audit), 1); /* one leaf, however often */
	}
	assert_true(kept(t, 1));
	assert_true(monitor_cloned(t->m));
	assert_memory_equal(site_last_leaf(t), "clone the hub has another record", 32);
}

static void
what_is_not_kept_has_no_digest(void **state)
{
	struct site_test *t = *state;
	uint8_t digest[SHA256_LEN];

	assert_int_equal(outbox_digest(t->m->outbox, "results", 5, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(t->m->outbox, "heartbeat", 1, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(t->m->outbox, "none", 1, digest), REASON_NOT_FOUND);
}

static void
contact_tells_the_difference_of_the_clocks(void **state)
{
	static const char *const none[] = { "x", "", "1.5", "99999999999999999999", "-999999999999999999" };
	struct site_test *t = *state;
	int64_t century_ms = INT64_C(-73) * 366 * 24 * 3600 * 1000;
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)century_ms);
	assert_int_equal(
		site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", text), NULL, 0, NULL), 0);
	assert_true(t->m->offset_ms == century_ms);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		site_refused(t,
			site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", none[i]), NULL, 0,
				NULL),
			REASON_MALFORMED);
		assert_true(t->m->offset_ms == century_ms);
	}
}

static const char *
trouble(struct site_test *t)
{
	static char text[64];
	SCOPED_JSON *status = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	(void)snprintf(text, sizeof(text), "%s", json_text(json_object_get(status, "hub"), "trouble"));
	return text;
}

static void
status_says_what_stands_between_site_and_hub(void **state)
{
	static const char *const none[] = { "Proxy", "a b", "proxy-auth-that-is-far-too-long-for-a-word", "\x1b[2J" };
	struct site_test *t = *state;

	assert_string_equal(trouble(t), "");
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "trouble", "proxy-auth"), NULL,
				 0, NULL),
		0);
	assert_string_equal(trouble(t), "proxy-auth");
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		site_refused(t,
			site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "trouble", none[i]), NULL, 0,
				NULL),
			REASON_MALFORMED);
		assert_string_equal(trouble(t), "proxy-auth");
	}
	assert_int_equal(
		site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "trouble", "none"), NULL, 0, NULL), 0);
	assert_string_equal(trouble(t), "");
}

static void
the_courier_is_told_the_floor(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *without = courier_verbs_config(t->m), *with = NULL;

	assert_null(json_object_get(without, "floor"));
	assert_int_equal(monitor_raise_floor(t->m, NOW - CLOCK_US_PER_S, "owners"), 0);
	with = courier_verbs_config(t->m);
	assert_string_equal(json_text(with, "floor"), "2026-11-18T11:06:39.000Z");
}

/* The end of the key that the hub would register. */
static uint64_t
key_end(struct site_test *t)
{
	SCOPED_JSON *config = courier_verbs_config(t->m), *payload = NULL;
	const char *text = json_text(json_object_get(config, "daemon"), "payload");
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	uint64_t us = 0;

	assert_true(hex_unbase64(&b, text, strlen(text)));
	payload = json_loadb((const char *)b.data, b.len, 0, NULL);
	assert_int_equal(clock_parse(&us, json_text(payload, "not_after")), 0);
	return us;
}

/* Who judges the end of a key statement is the hub, by its clock. */
static void
a_key_ends_by_the_hubs_clock_where_ours_is_far_off(void **state)
{
	static const int64_t now_s[] = { 1, 4070908800 };
	const uint64_t week = UINT64_C(7 * 86400) * CLOCK_US_PER_S;
	struct site_test *t = *state;
	struct ed25519 *key = NULL;

	assert_int_equal(ed25519_generate(&key), 0);
	for (size_t i = 0; i < ARRAY_LEN(now_s); i++) {
		char text[24];

		clock_fake((uint64_t)now_s[i] * CLOCK_US_PER_S, 6000 * CLOCK_US_PER_S);
		assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
					 json_pack("{s:s}", "key", ed25519_public_hex(key)), NULL, 0, NULL),
			0);
		(void)snprintf(text, sizeof(text), "%lld", ((long long)(NOW / CLOCK_US_PER_S) - (long long)now_s[i]) * 1000);
		assert_int_equal(site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", text), NULL,
					 0, NULL),
			0);
		assert_true(key_end(t) == NOW + week);
		/* near enough: our own */
		assert_int_equal(site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", "60000"),
					 NULL, 0, NULL),
			0);
		clock_fake(NOW + 5 * week, 6000 * CLOCK_US_PER_S);
		assert_true(key_end(t) == NOW + 6 * week);
	}
	ed25519_free(key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_acknowledgement_of_a_record_lets_it_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_acknowledgement_of_anything_else_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_acknowledgement_of_another_record_means_a_second_site, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_kept_has_no_digest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(contact_tells_the_difference_of_the_clocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(status_says_what_stands_between_site_and_hub, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_courier_is_told_the_floor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_key_ends_by_the_hubs_clock_where_ours_is_far_off, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
