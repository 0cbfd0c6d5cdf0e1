/* Every door where the other side chooses a key: none takes one of small order, or one that has two encodings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/enrol_hub.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/rotate.h"
#include "appliance/enrol/site_record.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/note.h"
#include "appliance/trust/sshkey.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/vectors.h"

#define GOOD "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define TIME "2027-01-15T08:00:00.000Z"

static struct ed25519 *own;
static struct sshkey_signer *person;

static int
facts(const char *reply, const char *witness, const char *director)
{
	char text[1024];
	struct card_hub hub;
	json_t *doc = NULL;
	int r;

	(void)snprintf(text, sizeof(text),
		"{\"v\":1,\"name\":\"h\",\"url\":\"https://hub.example\",\"reply\":\"%s\",\"witness\":{\"name\":\"w\","
		"\"key\":\"%s\"},\"director\":\"%s\"}",
		reply, witness, director);
	r = card_facts(&hub, &doc, text, strlen(text));
	json_decref(doc);
	return r;
}

static int
card_reply(const char *key)
{
	return facts(key, GOOD, GOOD);
}

static int
card_hub_witness(const char *key)
{
	return facts(GOOD, key, GOOD);
}

static int
card_director(const char *key)
{
	return facts(GOOD, GOOD, key);
}

static int
card_further_witness(const char *key)
{
	struct card_witness w;
	char text[128];

	(void)snprintf(text, sizeof(text), "w.example %s", key);
	return card_witness_parse(&w, text);
}

/* Signed by our own key, whatever key the payload names: the named one is looked at before any signature. */
static int
enrolment(const char *site_key, const char *audit_key)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	SCOPED_JSON *p = json_pack("{s:i, s:s, s:s, s:s, s:s, s:{}, s:s, s:s}", "v", 1, "site", "s", "key", site_key,
		"audit_key", audit_key, "hmac", GOOD, "daemon", "platform", "linux-x86_64", "time", TIME);
	SCOPED_JSON *envelope = NULL;
	struct enrol_hub_request q;

	assert_int_equal(envelope_seal(&envelope, MESSAGE_ENROL, p, own), 0);
	assert_int_equal(json_canonical(&text, envelope), 0);
	return enrol_hub_read(&q, text.data, text.len, clock_now_us());
}

static int
enrol_site_key(const char *key)
{
	return enrolment(key, ed25519_public_hex(own));
}

static int
enrol_audit_key(const char *key)
{
	return enrolment(ed25519_public_hex(own), key);
}

static int
courier_key(const char *key)
{
	uint8_t raw[32], got[32];
	SCOPED_JSON *envelope = NULL;
	uint64_t until;

	assert_true(hex_decode(raw, sizeof(raw), key));
	assert_int_equal(enrol_site_daemon(&envelope, "s", raw, clock_now_us() + CLOCK_US_PER_S * 60, own), 0);
	return enrol_hub_daemon(got, &until, envelope, "s", ed25519_public(own), clock_now_us());
}

static int
anybody(const struct sshkey_public *key, const char *engineer, const char *customer, void *arg)
{
	(void)key;
	(void)engineer;
	(void)customer;
	(void)arg;
	return 0;
}

static int
record_key(const char *key)
{
	struct site_record made = { .site = "s", .customer = "c", .platform = "p", .name = "n", .engineer = "e" }, got;
	SCOPED_JSON *envelope = NULL;
	int r;

	assert_true(hex_decode(made.key, sizeof(made.key), key));
	assert_int_equal(site_record_seal(&envelope, &made, person), 0);
	r = site_record_verify(&got, envelope, anybody, NULL);
	if (r == 0)
		site_record_done(&got);
	return r;
}

static int
rotation_key(const char *key)
{
	SCOPED_JSON *p = json_pack("{s:i, s:s, s:s, s:s, s:s}", "v", 1, "site", "s", "old", ed25519_public_hex(own), "new",
		key, "time", TIME);
	SCOPED_JSON *envelope = NULL;
	SCOPED(ed25519_freep) struct ed25519 *other = NULL;
	struct rotate r;

	assert_int_equal(ed25519_generate(&other), 0);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_ROTATE, p, own), 0);
	assert_int_equal(envelope_cosign(envelope, MESSAGE_ROTATE, p, other), 0);
	return rotate_open(&r, envelope);
}

static int
persons_key(const char *key)
{
	static const uint8_t head[] = { 0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32 };
	uint8_t blob[sizeof(head) + 32];
	struct sshkey_public got;

	memcpy(blob, head, sizeof(head));
	assert_true(hex_decode(blob + sizeof(head), 32, key));
	return sshkey_parse_blob(&got, blob, sizeof(blob), "person");
}

static int
policy_witness(const char *key)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(512);
	struct note_key made, got;
	uint8_t raw[32];

	assert_true(hex_decode(raw, sizeof(raw), key));
	assert_int_equal(note_key_make(&made, "w.example", NOTE_TYPE_COSIGNATURE, raw), 0);
	note_key_text(&text, &made);
	return note_key_parse(&got, buf_text(&text));
}

static const struct {
	const char *what;
	int (*knock)(const char *key);
	enum reason refused;
	int good; /* what a sound key meets there */
} doors[] = {
	{ "the card's reply key", card_reply, REASON_LOW_ORDER_KEY, 0 },
	{ "the card's hub witness", card_hub_witness, REASON_LOW_ORDER_KEY, 0 },
	{ "the card's director", card_director, REASON_LOW_ORDER_KEY, 0 },
	{ "the card's further witness", card_further_witness, REASON_LOW_ORDER_KEY, 0 },
	{ "an enrolling site", enrol_site_key, REASON_LOW_ORDER_KEY, REASON_UNKNOWN_KEY },
	{ "its audit key", enrol_audit_key, REASON_LOW_ORDER_KEY, REASON_MALFORMED },
	{ "a courier", courier_key, REASON_LOW_ORDER_KEY, 0 },
	{ "a site record", record_key, REASON_LOW_ORDER_KEY, 0 },
	{ "a rotation", rotation_key, REASON_LOW_ORDER_KEY, REASON_UNKNOWN_KEY },
	{ "a person", persons_key, REASON_LOW_ORDER_KEY, 0 },
	{ "a policy's witness", policy_witness, REASON_MALFORMED, 0 },
};

static bool
is_weak(const json_t *test)
{
	const json_t *flag;
	size_t i;

	json_array_foreach(json_object_get(test, "flags"), i, flag)
		if (strcmp(json_string_value(flag), "low_order_A") == 0 ||
			strcmp(json_string_value(flag), "non_canonical_A") == 0)
			return true;
	return false;
}

static void
knock_at_every_door(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
		uint64_t n = refuse_count(doors[i].refused);
		int r = doors[i].knock(key);

		if (r != (int)doors[i].refused)
			fail_msg("%s takes %s: %d", doors[i].what, key, r);
		assert_int_equal(refuse_count(doors[i].refused), n + 1);
	}
}

static void
no_door_takes_a_weak_key(void **state)
{
	json_t *all = vectors_load("cctv-ed25519/ed25519vectors.json"), *test;
	SCOPED_JSON *keys = json_object();
	const char *key;
	json_t *unused;
	size_t i;

	(void)state;
	json_array_foreach(all, i, test)
		if (is_weak(test))
			json_object_set_new(keys, json_text(test, "key"), json_true());
	json_object_foreach(keys, key, unused)
		knock_at_every_door(key);
	assert_int_equal(json_object_size(keys), 14);
	vectors_ran("weak Ed25519 keys at every door", json_object_size(keys) * ARRAY_LEN(doors), 0);
	json_decref(all);
}

static void
a_sound_key_passes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
		int r = doors[i].knock(GOOD);

		if (r != doors[i].good)
			fail_msg("%s: %d", doors[i].what, r);
	}
	/* the worst of them, also where the vectors are not at hand */
	knock_at_every_door("0100000000000000000000000000000000000000000000000000000000000000");
	knock_at_every_door("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_door_takes_a_weak_key),
		cmocka_unit_test(a_sound_key_passes),
	};
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "person", NULL };
	struct scratch scratch;
	char path[512];
	int failed;

	scratch_make(&scratch);
	if (scratch_run(&scratch, argv, NULL, 0, NULL) != 0)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/person", scratch.path);
	if (sshkey_signer_open(&person, path) != 0 || ed25519_generate(&own) != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sshkey_signer_free(person);
	ed25519_free(own);
	scratch_remove(&scratch);
	return failed;
}
