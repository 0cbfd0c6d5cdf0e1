#include "appliance/trust/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

static struct ed25519 *key, *other;

static int
setup(void **state)
{
	(void)state;
	return ed25519_generate(&key) || ed25519_generate(&other);
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(key);
	ed25519_free(other);
	return 0;
}

static void
a_daemons_envelope(void **state)
{
	SCOPED_JSON *payload =
		json_pack("{s:i, s:s}", "v", 1, "text", "two\nlines \"quoted\" \x01");
	SCOPED_JSON *sealed = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	SCOPED(envelope_freep) struct envelope *e = NULL, *as_result = NULL;
	uint8_t digest[32];

	(void)state;
	assert_int_equal(envelope_seal(&sealed, MESSAGE_PLAN, payload, key), 0);
	assert_int_equal(json_canonical(&text, sealed), 0);
	assert_int_equal(envelope_open(&e, MESSAGE_PLAN, text.data, text.len), 0);
	assert_true(json_equal(e->payload, payload));
	assert_int_equal(envelope_digest(digest, payload), 0);
	assert_memory_equal(digest, e->sha256, 32);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(key)), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(other)), REASON_UNKNOWN_KEY);
	/* the namespace is signed: a plan is no result */
	assert_int_equal(envelope_open(&as_result, MESSAGE_RESULT, text.data, text.len), 0);
	assert_int_equal(envelope_verify_daemon(as_result, ed25519_public(key)),
		REASON_BAD_SIGNATURE);
	assert_int_equal(refuse_last()->reason, REASON_BAD_SIGNATURE);
	assert_string_equal(refuse_last()->operand, "result");
}

static void
a_changed_payload(void **state)
{
	SCOPED_JSON *one = json_pack("{s:i}", "v", 1), *two = json_pack("{s:i}", "v", 2);
	SCOPED_JSON *a = NULL, *b = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL;

	(void)state;
	assert_int_equal(envelope_seal(&a, MESSAGE_STATEMENT, one, key), 0);
	assert_int_equal(envelope_seal(&b, MESSAGE_STATEMENT, two, key), 0);
	json_object_set(a, "payload", json_object_get(b, "payload"));
	assert_int_equal(envelope_open_json(&e, MESSAGE_STATEMENT, a), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(key)), REASON_BAD_SIGNATURE);
}

static json_t *
envelope_of(const char *payload, const char *sigs)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	json_t *list = json_loads(sigs, 0, NULL);

	assert_non_null(list);
	hex_base64(&b, payload, strlen(payload));
	return json_pack("{s:s, s:o}", "payload", buf_text(&b), "sigs", list);
}

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SIG(id) "{\"keyid\":\"" id "\",\"sig\":\"00\"}"

static void
forms(void **state)
{
	static const struct {
		const char *name, *payload, *sigs;
		enum reason reason;
	} rows[] = {
		{ "good", "{\"a\":1}", "[" SIG(ID_A) "]", REASON_NONE },
		{ "no signature", "{\"a\":1}", "[]", REASON_UNSIGNED },
		{ "not canonical: a space", "{\"a\": 1}", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "not canonical: order", "{\"b\":1,\"a\":1}", "[" SIG(ID_A) "]",
			REASON_MALFORMED },
		{ "a member twice", "{\"a\":1,\"a\":1}", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "an escaped newline", "{\"a\":\"\\n\"}", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "a raw newline", "{\"a\":\"\n\"}", "[" SIG(ID_A) "]", REASON_NONE },
		{ "no object", "[1]", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "no JSON", "x", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "empty", "", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "a real", "{\"a\":1.5}", "[" SIG(ID_A) "]", REASON_MALFORMED },
		{ "a key twice", "{\"a\":1}", "[" SIG(ID_A) "," SIG(ID_A) "]", REASON_MALFORMED },
		{ "a short keyid", "{\"a\":1}", "[" SIG("aa") "]", REASON_MALFORMED },
		{ "more in a signature", "{\"a\":1}",
			"[{\"keyid\":\"" ID_A "\",\"sig\":\"0\",\"x\":1}]", REASON_UNKNOWN_FIELD },
		{ "a signature that is none", "{\"a\":1}", "[1]", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *obj = envelope_of(rows[i].payload, rows[i].sigs);
		struct envelope *e = NULL;
		int r = envelope_open_json(&e, MESSAGE_LOGIN, obj);

		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		assert_int_equal(e != NULL, r == 0);
		envelope_free(e);
	}
}

static void
wholes(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "{}", REASON_MALFORMED },
		{ "[]", REASON_MALFORMED },
		{ "", REASON_MALFORMED },
		{ "{\"payload\":1,\"sigs\":[]}", REASON_MALFORMED },
		{ "{\"payload\":\"e30=\",\"sigs\":1}", REASON_MALFORMED },
		{ "{\"payload\":\"e30\",\"sigs\":[" SIG(ID_A) "]}", REASON_MALFORMED },
		{ "{\"payload\":\"e30=\",\"sigs\":[" SIG(ID_A) "],\"x\":1}", REASON_UNKNOWN_FIELD },
		{ "{\"payload\":\"e30=\",\"sigs\":[" SIG(ID_A) "]} x", REASON_MALFORMED },
		{ "{\"payload\":\"e30=\",\"sigs\":[" SIG(ID_A) "]}", REASON_NONE },
	};

	struct envelope *none = NULL;
	const char *text = "{\"payload\":\"e30\",\"sigs\":[" SIG(ID_A) "]}";

	(void)state;
	assert_refused(envelope_open(&none, MESSAGE_REQUEST, text, strlen(text)), REASON_MALFORMED,
		"payload is not base64");
	assert_null(none);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct envelope *e = NULL;
		int r = envelope_open(&e, MESSAGE_REQUEST, rows[i].text, strlen(rows[i].text));

		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].text, refuse_token((enum reason)r));
		envelope_free(e);
	}
}

static void
sizes(void **state)
{
	size_t max = message_payload_max(MESSAGE_DAEMON);
	SCOPED(scope_free) char *big = calloc(1, 2 * max);
	SCOPED_JSON *payload = NULL, *sealed = NULL;
	SCOPED(scope_free) char *text = NULL;
	struct envelope *e = NULL;

	(void)state;
	memset(big, 'a', max);
	payload = json_pack("{s:s}", "x", big);
	assert_int_equal(envelope_seal(&sealed, MESSAGE_DAEMON, payload, key), REASON_TOO_LARGE);
	assert_null(sealed);
	/* sealed as a larger type, opened as the small one */
	assert_int_equal(envelope_seal(&sealed, MESSAGE_PLAN, payload, key), 0);
	assert_refused(envelope_open_json(&e, MESSAGE_DAEMON, sealed), REASON_TOO_LARGE, "payload over");
	{
		SCOPED_JSON *list = json_array(), *many = NULL;

		for (int i = 0; i <= ENVELOPE_SIGS_MAX; i++)
			json_array_append_new(list,
				json_pack("{s:s, s:s}", "keyid", ID_A, "sig", "0"));
		many = json_pack("{s:s, s:O}", "payload", "e30=", "sigs", list);
		assert_int_equal(envelope_open_json(&e, MESSAGE_DAEMON, many), REASON_TOO_LARGE);
	}
	/* just over, so that only the decoder can tell */
	memset(big, 0, 2 * max);
	memset(big, 'A', (max + 2) / 3 * 4);
	{
		SCOPED_JSON *over = json_pack("{s:s, s:[{s:s, s:s}]}", "payload", big, "sigs",
			"keyid", ID_A, "sig", "0");

		assert_int_equal(envelope_open_json(&e, MESSAGE_DAEMON, over), REASON_TOO_LARGE);
	}
	text = calloc(1, message_envelope_max(MESSAGE_DAEMON) + 2);
	memset(text, ' ', message_envelope_max(MESSAGE_DAEMON) + 1);
	assert_int_equal(envelope_open(&e, MESSAGE_DAEMON, text,
				 message_envelope_max(MESSAGE_DAEMON) + 1),
		REASON_TOO_LARGE);
	assert_null(e);
}

static void
a_persons_envelope(void **state)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s}", "v", 1, "site", "a"), *sealed = NULL;
	SCOPED(sshkey_signer_freep) struct sshkey_signer *signer = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL, *permit = NULL;
	struct sshkey_public claimed;
	struct scratch s;
	char path[128];

	(void)state;
	scratch_make(&s);
	assert_int_equal(scratch_run(&s,
				 (const char *[]){ "ssh-keygen", "-q", "-t", "ed25519", "-N", "",
					 "-f", "k", NULL },
				 NULL, 0, NULL),
		0);
	snprintf(path, sizeof(path), "%s/k", s.path);
	assert_int_equal(sshkey_signer_open(&signer, path), 0);
	assert_int_equal(envelope_seal_person(&sealed, MESSAGE_REQUEST, payload, signer), 0);
	assert_int_equal(envelope_open_json(&e, MESSAGE_REQUEST, sealed), 0);
	assert_int_equal(envelope_claimed_key(e, 0, &claimed), 0);
	assert_string_equal(claimed.keyid, sshkey_signer_public(signer)->keyid);
	assert_int_equal(envelope_verify_person(e, &claimed), 0);
	assert_int_equal(envelope_open_json(&permit, MESSAGE_PERMIT, sealed), 0);
	assert_int_equal(envelope_verify_person(permit, &claimed), REASON_BAD_SIGNATURE);

	/* a keyid that is not its signature's key */
	{
		json_t *sig = json_array_get(json_object_get(sealed, "sigs"), 0);
		SCOPED(envelope_freep) struct envelope *bad = NULL;

		json_object_set_new(sig, "keyid", json_string(ID_A));
		assert_int_equal(envelope_open_json(&bad, MESSAGE_REQUEST, sealed), 0);
		assert_int_equal(envelope_claimed_key(bad, 0, &claimed), REASON_MALFORMED);
		assert_int_equal(envelope_verify_person(bad, sshkey_signer_public(signer)),
			REASON_UNKNOWN_KEY);
		bad = envelope_free(bad);
		json_object_set_new(sig, "sig", json_string("not base64"));
		json_object_set_new(sig, "keyid", json_string(sshkey_signer_public(signer)->keyid));
		assert_int_equal(envelope_open_json(&bad, MESSAGE_REQUEST, sealed), 0);
		assert_refused(envelope_verify_person(bad, sshkey_signer_public(signer)),
			REASON_MALFORMED, "is not base64");
		assert_int_equal(envelope_claimed_key(bad, 0, &claimed), REASON_MALFORMED);
	}
	scratch_remove(&s);
}

static void
names(void **state)
{
	(void)state;
	for (int m = 0; m < MESSAGE_MAX; m++) {
		assert_int_equal(message_of(message_namespace((enum message)m)), m);
		assert_non_null(message_word((enum message)m));
	}
	assert_int_equal(message_of("nothing@mainstay"), MESSAGE_MAX);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_daemons_envelope),
		cmocka_unit_test(a_changed_payload),
		cmocka_unit_test(forms),
		cmocka_unit_test(wholes),
		cmocka_unit_test(sizes),
		cmocka_unit_test(a_persons_envelope),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
