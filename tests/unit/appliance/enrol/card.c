#include "appliance/enrol/card.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card_show.h"
#include "appliance/enrol/token.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/refused.h"

enum { KEYS = 4 }; /* three of root, a stranger */

static struct ed25519 *keys[KEYS];
static json_t *root_doc, *facts;
static struct card_hub hub;
static struct card_witness further[2];
static size_t n_further;

/* A 2-of-3 root as mainstay-release makes it. */
static json_t *
make_root(size_t first_signer)
{
	json_t *signed_ = tuf_repo_new("root", 1, UINT64_C(1900000000000000)), *all = json_object(),
	       *doc;
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	json_t *roles = json_object();
	uint8_t raw[3][32];

	for (size_t i = 0; i < 3; i++)
		memcpy(raw[i], ed25519_public(keys[i]), 32);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_object_set_new(roles, names[i],
			tuf_repo_role(all, (const uint8_t(*)[32])raw, 3, 2));
	json_object_set_new(signed_, "roles", roles);
	json_object_set_new(signed_, "keys", all);
	json_object_set_new(signed_, "consistent_snapshot", json_true());
	assert_int_equal(tuf_repo_sign(&text, signed_,
				 (const struct ed25519 *const *)keys + first_signer, 2),
		0);
	json_decref(signed_);
	doc = json_loadb((char *)text.data, text.len, 0, NULL);
	assert_non_null(doc);
	return doc;
}

static int
setup(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);

	(void)state;
	for (size_t i = 0; i < KEYS; i++)
		assert_int_equal(ed25519_generate(&keys[i]), 0);
	root_doc = make_root(0);
	buf_printf(&text,
		"{\"v\":1,\"name\":\"hub "
		"one\",\"url\":\"https://hub.example:8443\",\"reply\":\"%s\","
		"\"witness\":{\"name\":\"hub.example/"
		"witness\",\"key\":\"%s\"},\"director\":\"%s\"}",
		ed25519_public_hex(keys[0]), ed25519_public_hex(keys[1]),
		ed25519_public_hex(keys[2]));
	assert_int_equal(card_facts(&hub, &facts, text.data, text.len), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEYS; i++)
		ed25519_free(keys[i]);
	json_decref(root_doc);
	json_decref(facts);
	return 0;
}

static void
sign(struct buf *out, const json_t *signed_, size_t first_signer, size_t n)
{
	assert_int_equal(tuf_repo_sign(out, signed_,
				 (const struct ed25519 *const *)keys + first_signer, n),
		0);
}

static json_t *
make_signed(void)
{
	json_t *v = NULL;

	assert_int_equal(card_build(&v,
				 &(struct card_parts){ .name = "Vendor Inc.",
					 .root = root_doc,
					 .facts = facts,
					 .officers_keys = 3,
					 .officers_threshold = 2,
					 .further = further,
					 .n_further = n_further }),
		0);
	return v;
}

static void
a_card_and_back(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX), canonical = BUF_MAX(CARD_MAX);
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	SCOPED(card_freep) struct card *c = NULL, *again = NULL;
	SCOPED_JSON *signed_ = make_signed(), *sigs = NULL;
	uint8_t digest[32];

	(void)state;
	sign(&text, signed_, 0, 2);
	assert_int_equal(card_read(&c, text.data, text.len), 0);
	assert_string_equal(c->name, "Vendor Inc.");
	assert_string_equal(c->hub.url, "https://hub.example:8443");
	assert_memory_equal(c->hub.director, ed25519_public(keys[2]), 32);
	assert_int_equal(c->root_keys, 3);
	assert_int_equal(c->root_threshold, 2);
	assert_int_equal(c->officers_keys, 3);
	assert_true(json_equal(c->root, root_doc));
	assert_true(json_equal(c->facts, facts));
	assert_int_equal(json_canonical(&canonical, signed_), 0);
	sha256_of(digest, canonical.data, canonical.len);
	assert_memory_equal(c->fingerprint, digest, 32);
	/* by the judge's way */
	assert_int_equal(tuf_split(&split, text.data, text.len, CARD_MAX, "card"), 0);
	sigs = tuf_split_sigs(&split);
	assert_int_equal(card_read_parts(&again, split.canonical.data, split.canonical.len, sigs),
		0);
	assert_memory_equal(again->fingerprint, digest, 32);
}

static int
read_signed(const json_t *signed_, size_t first, size_t n)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX);
	struct card *c = NULL;
	int r;

	sign(&text, signed_, first, n);
	r = card_read(&c, text.data, text.len);
	assert_int_equal(c != NULL, r == 0);
	card_free(c);
	return r;
}

static int
read_with(const char *name, json_t *take_value)
{
	SCOPED_JSON *signed_ = make_signed();

	json_object_set_new(signed_, name, take_value);
	return read_signed(signed_, 0, 2);
}

static void
cards_that_are_refused(void **state)
{
	SCOPED_JSON *signed_ = make_signed(), *bad_facts = json_deep_copy(facts);
	SCOPED_JSON *bad_root = json_deep_copy(root_doc);
	struct card *c = NULL;
	static char big[CARD_MAX + 1];

	(void)state;
	assert_int_equal(read_signed(signed_, 1, 2), 0);
	assert_int_equal(read_signed(signed_, 0, 1), REASON_THRESHOLD);
	assert_int_equal(read_signed(signed_, 2, 2),
		REASON_THRESHOLD); /* one of root and a stranger */
	assert_int_equal(read_signed(signed_, 0, 0), REASON_UNSIGNED);
	assert_int_equal(read_with("_type", json_string("root")), REASON_MALFORMED);
	assert_int_equal(read_with("v", json_integer(0)), REASON_MALFORMED);
	assert_int_equal(read_with("more", json_integer(0)), REASON_UNKNOWN_FIELD);
	assert_int_equal(read_with("officers", json_pack("{s:i, s:i}", "keys", 2, "threshold", 3)),
		REASON_MALFORMED);
	assert_int_equal(read_with("officers", json_pack("{s:i, s:i}", "keys", 2, "threshold", 0)),
		REASON_MALFORMED);
	assert_int_equal(read_with("root", json_object()), REASON_MALFORMED);
	/* a root that its own threshold did not sign */
	json_array_remove(json_object_get(bad_root, "signatures"), 0);
	assert_int_equal(read_with("root", json_incref(bad_root)), REASON_THRESHOLD);

	json_object_set_new(bad_facts, "url", json_string("ftp://x"));
	assert_int_equal(read_with("hub", json_incref(bad_facts)), REASON_MALFORMED);
	json_object_set_new(bad_facts, "url", json_string("https://hub.example/"));
	assert_int_equal(read_with("hub", json_incref(bad_facts)), REASON_MALFORMED);
	json_object_set_new(bad_facts, "url", json_string("https://user@hub.example"));
	assert_int_equal(read_with("hub", json_incref(bad_facts)), REASON_MALFORMED);
	json_object_set_new(bad_facts, "url", json_string("https://hub.example"));
	json_object_set_new(bad_facts, "reply",
		json_string("0000000000000000000000000000000000000000000000000000000000000000"));
	assert_int_equal(read_with("hub", json_incref(bad_facts)), REASON_LOW_ORDER_KEY);
	assert_int_equal(json_object_set(bad_facts, "reply", json_object_get(facts, "reply")), 0);
	assert_int_equal(read_with("hub", json_incref(bad_facts)), 0);
	json_object_set_new(bad_facts, "v", json_integer(1)); /* belongs to the file alone */
	assert_int_equal(read_with("hub", json_incref(bad_facts)), REASON_MALFORMED);
	assert_int_equal(card_read(&c, "{}", 2), REASON_MALFORMED);
	assert_int_equal(card_read(&c, big, sizeof(big)), REASON_TOO_LARGE);
	assert_int_equal(card_read_parts(&c, big, sizeof(big), NULL), REASON_TOO_LARGE);
	assert_null(c);
}

static void
a_changed_card(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX);
	SCOPED_JSON *signed_ = make_signed();
	struct card *c = NULL;
	char *at;

	(void)state;
	sign(&text, signed_, 0, 2);
	at = strstr((char *)text.data, "hub.example:8443");
	at[0] = 'p';
	assert_int_equal(card_read(&c, text.data, text.len), REASON_BAD_SIGNATURE);
	assert_int_equal(refuse_last()->reason, REASON_BAD_SIGNATURE);
	assert_null(c);
}

/* What the vendor signed is that card and no other: one bit of each of its bytes. */
static void
no_byte_of_a_card_can_change(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX), canonical = BUF_MAX(CARD_MAX);
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	SCOPED_JSON *signed_ = make_signed(), *sigs = NULL;
	size_t taken = 0;

	(void)state;
	sign(&text, signed_, 0, 2);
	assert_int_equal(tuf_split(&split, text.data, text.len, CARD_MAX, "card"), 0);
	sigs = tuf_split_sigs(&split);
	buf_put(&canonical, split.canonical.data, split.canonical.len);
	for (size_t i = 0; i < canonical.len; i++) {
		struct card *c = NULL;
		int r;

		canonical.data[i] ^= (uint8_t)(1 << i % 8);
		r = card_read_parts(&c, canonical.data, canonical.len, sigs);
		assert_int_equal(r < 0 ? r : 0, 0); /* a fault is no refusal, and told as what it is */
		taken += r == 0;
		assert_null(c);
		canonical.data[i] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(taken, 0);
}

static void
further_witnesses_are_named_once_each(void **state)
{
	static const char key[] =
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
	static const char *const bad[] = { "", "w", "w d75a98", "w  d75a98",
		" d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"w D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A",
		"w d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511ahttps://x" };
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX), shown = BUF_MAX(8192);
	SCOPED(card_freep) struct card *c = NULL;
	SCOPED_JSON *signed_ = NULL, *obj = NULL;
	char line[256];
	uint64_t count;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		count = refuse_count(REASON_USAGE);
		assert_int_equal(card_witness_parse(&further[0], bad[i]), REASON_USAGE);
		assert_int_equal(refuse_count(REASON_USAGE), count + 1);
	}
	assert_int_equal(card_witness_parse(&further[0],
				 "w 0000000000000000000000000000000000000000000000000000000000000000"),
		REASON_LOW_ORDER_KEY);
	(void)snprintf(line, sizeof(line), "w %s ftp://x.example", key);
	assert_int_equal(card_witness_parse(&further[0], line), REASON_MALFORMED);
	(void)snprintf(line, sizeof(line), "notary.example/w %s https://notary.example", key);
	assert_int_equal(card_witness_parse(&further[0], line), 0);
	n_further = 1;
	signed_ = make_signed();
	sign(&text, signed_, 0, 2);
	assert_int_equal(card_read(&c, text.data, text.len), 0);
	assert_int_equal(c->n_further, 1);
	assert_string_equal(c->further[0].name, "notary.example/w");
	assert_string_equal(c->further[0].url, "https://notary.example");
	assert_int_equal(card_show_text(&shown, c, NULL, &(struct card_given){ .card = "card" }), 0);
	assert_non_null(strstr(buf_text(&shown), "notary.example/w"));
	assert_non_null(strstr(buf_text(&shown), "enrol --card card --token-file TOKEN --accept"));
	assert_int_equal(card_show_json(&obj, c, NULL), 0);
	assert_int_equal(json_array_size(json_object_get(obj, "further_witnesses")), 1);
	assert_int_equal(json_array_size(json_object_get(json_object_get(obj, "root"), "keyids")), 3);
	/* one witness is not two */
	further[1] = further[0];
	n_further = 2;
	assert_int_equal(read_with("v", json_integer(1)), REASON_MALFORMED);
	further[1].key[0] ^= 1; /* the same name, another key */
	assert_int_equal(read_with("v", json_integer(1)), REASON_MALFORMED);
	(void)snprintf(further[1].name, sizeof(further[1].name), "other");
	assert_int_equal(read_with("v", json_integer(1)), 0);
	memcpy(further[1].key, hub.witness, 32);
	assert_int_equal(read_with("v", json_integer(1)), REASON_MALFORMED);
	memset(further[1].key, 0, 32);
	assert_int_equal(read_with("v", json_integer(1)), REASON_LOW_ORDER_KEY);
	n_further = 0;
}

static void
a_fingerprint_is_read_kindly_and_compared_strictly(void **state)
{
	static const char *const good[] = {
		"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		" SHA256: 00112233 44556677 8899AABB CCDDEEFF 00112233-44556677-8899aabb-ccddeeff",
		"00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
	};
	static const char *const bad[] = {
		"",
		"sha256:",
		"yes",
		"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeef",
		"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0",
		"sha512:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"sha256:0011223344556677o899aabbccddeeff00112233445566778899aabbccddeeff",
	};
	char groups[CARD_GROUPS_MAX];
	uint8_t got[32], again[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		memset(got, 1, sizeof(got));
		assert_int_equal(card_fingerprint_parse(got, good[i], "--accept"), 0);
		assert_int_equal(got[1], 0x11);
		assert_int_equal(got[31], 0xff);
	}
	assert_string_equal(card_fingerprint_groups(groups, got),
		"00112233 44556677 8899aabb ccddeeff 00112233 44556677 8899aabb ccddeeff");
	assert_int_equal(card_fingerprint_parse(again, groups, "--accept"), 0);
	assert_memory_equal(again, got, sizeof(got));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t count = refuse_count(REASON_USAGE);

		assert_int_equal(card_fingerprint_parse(got, bad[i], "--accept"), REASON_USAGE);
		assert_int_equal(refuse_count(REASON_USAGE), count + 1);
	}
	assert_refused(card_fingerprint_parse(got, bad[4], "--accept"), REASON_USAGE, "more than 64 digits");
}

static void
shown_in_words(void **state)
{
	static const char *const words[] = { "Vendor Inc.", "https://hub.example:8443",
		"2 of 3 root keys", "2 of 3 officers", "plant7", "acme", "telemetry", "updates",
		"remote", "hub.example/witness", "sha256:",
		"mainstay enrol --card the.card --token-file the.token --ca the.pem --proxy PROXY --accept sha256:",
		"key id" };
	const struct card_given given = { "the.card", "the.token", "the.pem", true };
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX), shown = BUF_MAX(8192);
	SCOPED(card_freep) struct card *c = NULL;
	SCOPED_JSON *signed_ = make_signed(), *obj = NULL;
	char digest[SHA256_TEXT_MAX];
	struct token token;

	(void)state;
	assert_int_equal(token_mint(&token, "plant7", "acme", UINT64_C(1800000000000000)), 0);
	sign(&text, signed_, 0, 2);
	assert_int_equal(card_read(&c, text.data, text.len), 0);
	assert_int_equal(card_show_text(&shown, c, &token, &given), 0);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!strstr(buf_text(&shown), words[i]))
			fail_msg("does not show %s", words[i]);
	}
	assert_non_null(strstr(buf_text(&shown), sha256_text(digest, c->fingerprint)));
	assert_int_equal(card_show_json(&obj, c, &token), 0);
	assert_string_equal(json_string_value(json_object_get(obj, "fingerprint")), digest);
	assert_false(json_is_true(json_object_get(json_object_get(obj, "switches"), "remote")));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_card_and_back),
		cmocka_unit_test(cards_that_are_refused),
		cmocka_unit_test(a_changed_card),
		cmocka_unit_test(no_byte_of_a_card_can_change),
		cmocka_unit_test(further_witnesses_are_named_once_each),
		cmocka_unit_test(a_fingerprint_is_read_kindly_and_compared_strictly),
		cmocka_unit_test(shown_in_words),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
