#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/courier_verbs.h"

#include "appliance/enrol/site_record.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshkey.h"
#include "appliance/tuf/people.h"

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static json_t *
begin_params(struct site_test *t, const char *accept)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "site", "site1", "customer", "acme", "secret",
		SECRET, "expires", "2030-01-01T00:00:00.000Z", "accept",
		accept ? accept : t->fingerprint);
}

static int
begin_with(struct site_test *t, json_t *take_params, const json_t *card, json_t **ret)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX);

	if (card)
		assert_int_equal(json_canonical(&text, card), 0);
	return site_call(t, CALL_ROLE_CONTROL, "enrol.begin", take_params, text.data, text.len,
		ret);
}

static void
hello(struct site_test *t)
{
	struct ed25519 *courier = NULL;

	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(courier)), NULL, 0,
				 NULL),
		0);
	ed25519_free(courier);
}

/* The hub's reply to what was begun, signed by key; NULL: not signed. */
static int
finish(struct site_test *t, const char *nonce, int status, const struct ed25519 *key,
	const char *body)
{
	struct httpsig_header headers[4];
	struct httpsig_message msg = { .status = status, .headers = headers };
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32];
	json_t *params = json_pack("{s:s}", "nonce", nonce);
	char text[8];
	int r;

	(void)snprintf(text, sizeof(text), "%d", status);
	json_object_set_new(params, "status", json_string(text));
	sha256_of(digest, body, strlen(body));
	if (key) {
		assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, nonce, key,
					 clock_now_us()),
			0);
		json_object_set_new(params, "signature_input", json_string(fields.input));
		json_object_set_new(params, "signature", json_string(fields.signature));
		json_object_set_new(params, "content_digest", json_string(fields.digest));
	}
	r = site_call(t, CALL_ROLE_CONTROL, "enrol.finish", params, body, strlen(body), NULL);
	httpsig_fields_done(&fields);
	return r;
}

static const char pending[] =
	"{\"v\":1,\"site\":\"site1\",\"customer\":\"acme\",\"status\":\"pending\"}";

static void
enrol(struct site_test *t)
{
	SCOPED_JSON *begun = NULL;

	hello(t);
	assert_int_equal(begin_with(t, begin_params(t, NULL), t->card, &begun), 0);
	assert_string_equal(json_string_value(json_object_get(begun, "url")),
		"https://hub.example:8443/v1/enrol");
	assert_int_equal(finish(t, json_string_value(json_object_get(begun, "nonce")), 200,
				 t->reply, pending),
		0);
}

static void
a_site_begins_only_with_the_card_that_was_accepted(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *weak = NULL, *touched = json_deep_copy(t->card),
		    *bad_token = begin_params(t, NULL), *far_proxy = begin_params(t, NULL);
	char proxy[SITE_PROXY_MAX + 1] = "";

	site_refused(t, begin_with(t, begin_params(t, NULL), t->card, NULL), REASON_BUSY);
	hello(t);
	site_refused(t, begin_with(t, begin_params(t, NULL), NULL, NULL), REASON_USAGE);
	site_refused(t,
		begin_with(t,
			begin_params(t,
				"sha256:"
				"000000000000000000000000000000000000000000000000000000000"
				"0000000"),
			t->card, NULL),
		REASON_ALTERED);
	site_refused(t, begin_with(t, begin_params(t, "yes"), t->card, NULL), REASON_USAGE);
	memset(proxy, 'x', sizeof(proxy) - 1);
	json_object_set_new(far_proxy, "proxy", json_string(proxy));
	site_refused(t, begin_with(t, json_incref(far_proxy), t->card, NULL), REASON_USAGE);
	site_make_card(t, 1, &weak);
	site_refused(t, begin_with(t, begin_params(t, NULL), weak, NULL), REASON_THRESHOLD);
	json_object_set_new(json_object_get(touched, "signed"), "name", json_string("Thief"));
	site_refused(t, begin_with(t, begin_params(t, NULL), touched, NULL), REASON_BAD_SIGNATURE);
	json_object_set_new(bad_token, "secret", json_string("short"));
	site_refused(t, begin_with(t, json_incref(bad_token), t->card, NULL), REASON_MALFORMED);
	t->judge_dies = 3;
	site_refused(t, begin_with(t, begin_params(t, NULL), t->card, NULL), REASON_MALFORMED);
	assert_int_equal(t->m->site.state, SITE_STATE_NONE);
	assert_null(t->m->site.key);
	assert_int_equal(audit_size(t->m->audit), 0);
}

static void
an_answer_counts_only_with_the_hubs_signature(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *begun = NULL;
	const char *nonce;

	hello(t);
	site_refused(t, finish(t, "00112233445566778899aabbccddeeff", 200, t->reply, pending), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "was not begun");
	assert_int_equal(begin_with(t, begin_params(t, NULL), t->card, &begun), 0);
	nonce = json_string_value(json_object_get(begun, "nonce"));
	site_refused(t, finish(t, nonce, 200, NULL, pending), REASON_UNSIGNED);
	site_refused(t, finish(t, nonce, 200, t->director, pending), REASON_BAD_SIGNATURE);
	site_refused(t, finish(t, "00112233445566778899aabbccddeeff", 200, t->reply, pending),
		REASON_REPLAYED);
	assert_string_equal(refuse_last()->text, "the answer is to another request");
	site_refused(t, finish(t, nonce, 503, t->reply, pending), REASON_UNREACHABLE);
	site_refused(t,
		finish(t, nonce, 200, t->reply,
			"{\"v\":1,\"site\":\"site2\",\"customer\":\"acme\",\"status\":"
			"\"pending\"}"),
		REASON_WRONG_ADDRESSEE);
	site_refused(t, finish(t, nonce, 200, t->reply, "{}"), REASON_MALFORMED);
	assert_false(monitor_enrolled(t->m));
	assert_int_equal(audit_size(t->m->audit), 0);
	assert_int_equal(finish(t, nonce, 200, t->reply, pending), 0);
	assert_true(monitor_enrolled(t->m));
	assert_string_equal(site_last_leaf(t), "enrol site1 of acme");
}

static void
the_same_site_may_ask_again_and_no_other(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *other = begin_params(t, NULL);
	char key[65];

	enrol(t);
	(void)snprintf(key, sizeof(key), "%s", ed25519_public_hex(t->m->site.key));
	site_restart(t);
	assert_true(monitor_enrolled(t->m));
	assert_string_equal(monitor_site(t->m), "site1");
	enrol(t);
	assert_string_equal(ed25519_public_hex(t->m->site.key), key);
	assert_int_equal(audit_size(t->m->audit), 1);
	json_object_set_new(other, "site", json_string("site2"));
	site_refused(t, begin_with(t, json_incref(other), t->card, NULL), REASON_CONFLICT);
	assert_true(monitor_enrolled(t->m));
}

/* --- the site record ----------------------------------------------------------------------------- */
struct engineer {
	struct sshkey_signer *signer;
	char line[SSHKEY_LINE_MAX];
};

static void
make_engineer(struct site_test *t, struct engineer *e, const char *name)
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name,
		NULL };
	char path[128];

	assert_int_equal(scratch_run(&t->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", t->dir.path, name);
	assert_int_equal(sshkey_signer_open(&e->signer, path), 0);
	sshkey_line(e->line, sshkey_signer_public(e->signer));
}

static void
set_people(struct site_test *t, const struct engineer *e, const char *role)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(8192);
	struct people *people = NULL;
	char expires[CLOCK_TEXT_MAX];

	buf_printf(&text,
		"{\"engineers\":[{\"customers\":[\"acme\"],\"key\":\"%s\",\"name\":\"vera\","
		"\"not_after\":\"2030-01-01T00:00:00Z\",\"not_before\":\"2026-01-01T00:00:00Z\","
		"\"roles\":[\"%s\"]}],"
		"\"expires\":\"%s\",\"officers\":[],\"revoked\":[],\"v\":1,\"version\":1}",
		e->line, role,
		clock_format(expires, clock_now_us() + UINT64_C(86400) * CLOCK_US_PER_S));
	assert_int_equal(people_read(&people, text.data, text.len), 0);
	monitor_set_people(t->m, people);
}

static int
deliver_record_of(struct site_test *t, const struct engineer *e, const uint8_t *key,
	const char *engineer)
{
	struct site_record record = { .site = "site1",
		.customer = "acme",
		.platform = "linux-x86_64",
		.name = "Site one",
		.engineer = "vera",
		.time_us = clock_now_us() };
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	SCOPED_JSON *envelope = NULL;

	(void)snprintf(record.engineer, sizeof(record.engineer), "%s", engineer);
	memcpy(record.key, key ? key : ed25519_public(t->m->site.key), 32);
	assert_int_equal(site_record_seal(&envelope, &record, e->signer), 0);
	assert_int_equal(json_canonical(&text, envelope), 0);
	return site_call(t, CALL_ROLE_COURIER, "courier.record", NULL, text.data, text.len, NULL);
}

static int
deliver_record(struct site_test *t, const struct engineer *e, const uint8_t *key)
{
	return deliver_record_of(t, e, key, "vera");
}

static void
a_record_waits_for_people_and_is_then_believed(void **state)
{
	struct site_test *t = *state;
	struct engineer vera = { 0 };

	enrol(t);
	make_engineer(t, &vera, "vera");
	assert_int_equal(deliver_record(t, &vera, NULL), 0);
	assert_false(monitor_recorded(t->m));
	assert_non_null(t->m->site.pending);
	site_restart(t); /* it lies on the disk */
	assert_non_null(t->m->site.pending);
	set_people(t, &vera, "enrol");
	site_settle(t);
	assert_true(monitor_recorded(t->m));
	assert_string_equal(site_last_leaf(t), "enrol site record by vera");
	site_restart(t);
	assert_true(monitor_recorded(t->m));
	sshkey_signer_free(vera.signer);
}

static void
a_record_by_the_wrong_hand_or_for_another_key_is_not(void **state)
{
	struct site_test *t = *state;
	struct engineer vera = { 0 }, eve = { 0 };

	enrol(t);
	make_engineer(t, &vera, "vera");
	make_engineer(t, &eve, "eve");
	set_people(t, &vera, "support");
	site_refused(t, deliver_record(t, &vera, NULL), REASON_WRONG_ROLE);
	set_people(t, &vera, "enrol");
	site_refused(t, deliver_record(t, &eve, NULL), REASON_UNKNOWN_KEY);
	site_refused(t, deliver_record_of(t, &vera, NULL, "eve"), REASON_UNKNOWN_KEY);
	site_refused(t, deliver_record(t, &vera, ed25519_public(t->director)),
		REASON_WRONG_ADDRESSEE);
	site_refused(t, site_call(t, CALL_ROLE_COURIER, "courier.record", NULL, "{}", 2, NULL),
		REASON_MALFORMED);
	assert_false(monitor_recorded(t->m));
	assert_int_equal(audit_size(t->m->audit), 1); /* the enrolment */
	assert_int_equal(deliver_record(t, &vera, NULL), 0);
	assert_true(monitor_recorded(t->m));
	sshkey_signer_free(vera.signer);
	sshkey_signer_free(eve.signer);
}

/* --- the hub's answers, and leaving -------------------------------------------------------------- */
static void
what_the_courier_brings_must_bear_the_hubs_signature(void **state)
{
	struct site_test *t = *state;

	enrol(t);
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "outbox.reply",
			json_pack("{s:s, s:s, s:s, s:s}", "stream", "results", "nonce", "00",
				"status", "200", "committed", "1"),
			NULL, 0, NULL),
		REASON_UNSIGNED);
	site_refused(t, site_call(t, CALL_ROLE_COURIER, "outbox.reply", NULL, NULL, 0, NULL),
		REASON_USAGE);
	site_refused(t, site_call(t, CALL_ROLE_COURIER, "contact", NULL, NULL, 0, NULL),
		REASON_USAGE);
	assert_false(monitor_clock_doubtful(t->m));
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s, s:s}", "nonce", "00", "status", "200"),
			NULL, 0, NULL),
		REASON_UNSIGNED);
	assert_int_equal(t->m->offset_at_us, 0);
	assert_int_equal(courier_verbs_hear_clock(t->m, "-400000"), 0);
	assert_true(monitor_clock_doubtful(t->m));
}

static void
leaving_forgets_the_vendor_and_keeps_the_log(void **state)
{
	struct site_test *t = *state;

	enrol(t);
	assert_int_equal(site_control(t, "switch",
				 json_pack("{s:s, s:s}", "name", "all", "on", "true")),
		0);
	assert_int_equal(site_control(t, "leave", NULL), 0);
	assert_false(monitor_enrolled(t->m));
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_string_equal(site_last_leaf(t), "leave site1 of acme");
	site_restart(t);
	assert_false(monitor_enrolled(t->m));
	assert_true(audit_size(t->m->audit) >= 5);
	enrol(t); /* and may come back */
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_site_begins_only_with_the_card_that_was_accepted,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(an_answer_counts_only_with_the_hubs_signature,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(the_same_site_may_ask_again_and_no_other,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_record_waits_for_people_and_is_then_believed,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(
			a_record_by_the_wrong_hand_or_for_another_key_is_not, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(
			what_the_courier_brings_must_bear_the_hubs_signature, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(leaving_forgets_the_vendor_and_keeps_the_log,
			site_set_up, site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
