/* What the courier is told, and what it tells. */
#include "appliance/monitor/courier_verbs.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S) /* November 2026 */

static int
set_up(void **state)
{
	clock_fake(NOW, 5000 * CLOCK_US_PER_S);
	return site_set_up_recorded(state);
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

/* The courier shows an answer of the hub, signed at now_us by key, to a call of this verb. */
static int
show(struct site_test *t, const char *verb, json_t *take_params, const struct ed25519 *key, uint64_t now_us)
{
	static const char nonce[] = "00112233445566778899aabbccddeeff";
	struct httpsig_message msg = { .status = 503 };
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32];
	int r;

	sha256_of(digest, "", 0);
	assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, nonce, key, now_us), 0);
	json_object_set_new(take_params, "status", json_string("503"));
	json_object_set_new(take_params, "nonce", json_string(nonce));
	json_object_set_new(take_params, "signature_input", json_string(fields.input));
	json_object_set_new(take_params, "signature", json_string(fields.signature));
	json_object_set_new(take_params, "content_digest", json_string(fields.digest));
	r = site_call(t, CALL_ROLE_COURIER, verb, take_params, NULL, 0, NULL);
	httpsig_fields_done(&fields);
	return r;
}

static void
the_hubs_time_is_heard_from_the_hub_alone(void **state)
{
	static const char *const none[] = { "x", "", "1.5", "99999999999999999999",
		"-999999999999999999" };
	struct site_test *t = *state;
	int64_t century_ms = INT64_C(73) * 366 * 24 * 3600 * 1000;

	site_refused(t, show(t, "contact", json_object(), t->director, NOW), REASON_BAD_SIGNATURE);
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", "4000000"), NULL, 0,
			NULL),
		REASON_USAGE);
	assert_int_equal(t->m->offset_at_us, 0);
	/* What the courier says beside it is its own. */
	assert_int_equal(show(t, "outbox.reply",
				 json_pack("{s:s, s:s, s:s}", "stream", "heartbeat", "sequence", "1", "offset_ms",
					 "4000000"),
				 t->reply, NOW),
		0);
	assert_int_equal(t->m->offset_at_us, 0);
	assert_int_equal(show(t, "contact", json_pack("{s:s}", "offset_ms", "4000000"), t->reply, NOW), 0);
	assert_true(t->m->offset_ms == 500);
	assert_int_equal(show(t, "contact", json_object(), t->reply, NOW + (uint64_t)century_ms * 1000), 0);
	assert_true(t->m->offset_ms == century_ms + 500);
	/* A command says what it measured. */
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		site_refused(t, courier_verbs_hear_clock(t->m, none[i]), REASON_MALFORMED);
		assert_true(t->m->offset_ms == century_ms + 500);
	}
	assert_int_equal(courier_verbs_hear_clock(t->m, "-20"), 0);
	assert_true(t->m->offset_ms == -20);
}

static const char *
trouble(struct site_test *t)
{
	static char text[64];
	SCOPED_JSON *status = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	(void)snprintf(text, sizeof(text), "%s",
		json_text(json_object_get(status, "hub"), "trouble"));
	return text;
}

static void
status_says_what_stands_between_site_and_hub(void **state)
{
	static const char *const none[] = { "Proxy", "a b",
		"proxy-auth-that-is-far-too-long-for-a-word", "\x1b[2J" };
	struct site_test *t = *state;

	assert_string_equal(trouble(t), "");
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "contact",
				 json_pack("{s:s}", "trouble", "proxy-auth"), NULL, 0, NULL),
		0);
	assert_string_equal(trouble(t), "proxy-auth");
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		site_refused(t,
			site_call(t, CALL_ROLE_COURIER, "contact",
				json_pack("{s:s}", "trouble", none[i]), NULL, 0, NULL),
			REASON_MALFORMED);
		assert_string_equal(trouble(t), "proxy-auth");
	}
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "contact",
				 json_pack("{s:s}", "trouble", "none"), NULL, 0, NULL),
		0);
	assert_string_equal(trouble(t), "");
}

static void
the_courier_is_told_the_floor(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *without = courier_verbs_config(t->m), *with = NULL;

	/* before anybody said one: for the dates of certificates alone */
	assert_string_equal(json_text(without, "floor"), "2026-01-01T00:00:00.000Z");
	assert_int_equal(monitor_floor(t->m)->us, 0);
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
		clock_fake((uint64_t)now_s[i] * CLOCK_US_PER_S, 6000 * CLOCK_US_PER_S);
		assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
					 json_pack("{s:s}", "key", ed25519_public_hex(key)), NULL,
					 0, NULL),
			0);
		assert_int_equal(show(t, "contact", json_object(), t->reply, NOW), 0);
		assert_true(key_end(t) == NOW + week + CLOCK_US_PER_S / 2);
		/* near enough: our own */
		assert_int_equal(courier_verbs_hear_clock(t->m, "60000"), 0);
		clock_fake(NOW + 5 * week, 6000 * CLOCK_US_PER_S);
		assert_true(key_end(t) == NOW + 6 * week);
	}
	ed25519_free(key);
}

/* A hub takes no statement that ends earlier than one it has: what went there with an enrolment is what the courier says. */
static void
the_courier_says_what_an_enrolment_brought(void **state)
{
	struct site_test *t = *state;
	SCOPED(ed25519_freep) struct ed25519 *key = NULL, *next = NULL;
	SCOPED_JSON *before = NULL, *brought = NULL, *config = NULL, *by_next = NULL, *after = NULL;

	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(ed25519_generate(&next), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(key)), NULL, 0, NULL),
		0);
	before = courier_verbs_config(t->m);
	assert_int_equal(courier_verbs_statement(t->m, t->m->site.key, &brought), 0);
	assert_false(json_equal(json_object_get(before, "daemon"), brought));
	config = courier_verbs_config(t->m);
	assert_true(json_equal(json_object_get(config, "daemon"), brought));
	/* By a key that is not the site's yet it is nothing to say. */
	assert_int_equal(courier_verbs_statement(t->m, next, &by_next), 0);
	after = courier_verbs_config(t->m);
	assert_true(json_equal(json_object_get(after, "daemon"), brought));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_hubs_time_is_heard_from_the_hub_alone, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(status_says_what_stands_between_site_and_hub,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_courier_is_told_the_floor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_key_ends_by_the_hubs_clock_where_ours_is_far_off,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_courier_says_what_an_enrolment_brought, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
