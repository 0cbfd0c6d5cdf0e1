#include "appliance/tuf/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/key.h"
#include "tests/fakes/scratch.h"

#define HEAD(type)                                                                                 \
	"{\"_type\":\"" type "\",\"spec_version\":\"1.0.31\",\"version\":3,"                       \
	"\"expires\":\"2037-01-01T00:00:00Z\","
#define ROLE "{\"keyids\":[\"a\"],\"threshold\":1}"
#define HASHES "\"hashes\":{\"sha256\":\"00\"}"
#define ONE_ROLE                                                                                   \
	"{\"name\":\"people\",\"terminating\":true,\"paths\":[\"p/"                                \
	"*\"],\"keyids\":[\"a\"],\"threshold\":1}"

/* A good document of each kind; a row puts members over these. */
static const struct {
	const char *type, *text;
} good[] = {
	{ "root",
		HEAD("root") "\"consistent_snapshot\":true,\"keys\":{},\"roles\":{\"root\":" ROLE
			     ",\"timestamp\":" ROLE ",\"snapshot\":" ROLE ",\"targets\":" ROLE
			     "}}" },
	{ "timestamp",
		HEAD("timestamp") "\"meta\":{\"snapshot.json\":{\"version\":3,\"length\":9," HASHES
				  "}}}" },
	{ "snapshot", HEAD("snapshot") "\"meta\":{\"targets.json\":{\"version\":3}}}" },
	{ "targets",
		HEAD("targets") "\"targets\":{\"a\":{\"length\":1," HASHES
				"}},\"delegations\":{\"keys\":{},"
				"\"roles\":[" ONE_ROLE "]}}" },
};

static json_t *
good_one(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		json_t *doc;

		if (strcmp(good[i].type, type) != 0)
			continue;
		doc = json_loads(good[i].text, 0, NULL);
		assert_non_null(doc);
		return doc;
	}
	fail();
	return NULL;
}

/* keyids or delegations, one more than there may be. */
static json_t *
many(const char *shape, int max)
{
	json_t *list = json_array();

	for (int i = 0; i <= max; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "r%d", i);
		if (shape[0] == '"')
			json_array_append_new(list, json_string(name));
		else
			json_array_append_new(list,
				json_pack("{s:s, s:b, s:[s], s:[s], s:i}", "name", name,
					"terminating", 0, "paths", "x", "keyids", "a", "threshold",
					1));
	}
	return list;
}

static json_t *
many_keys(void)
{
	json_t *keys = json_object();

	for (int i = 0; i <= TUF_KEYS_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "k%d", i);
		json_object_set_new(keys, name, json_object());
	}
	return keys;
}

#define DELEGATION(members)                                                                        \
	"{\"delegations\":{\"roles\":[{" members ",\"keyids\":[\"a\"],\"threshold\":1}]}}"
#define TWO "{\"delegations\":{\"roles\":[" ONE_ROLE "," ONE_ROLE "]}}"
#define LONG129                                                                                    \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
	"xxxxxxxxxxxxxxxxxxxxxxxx"                                                                 \
	"xxxxxxxxxxxxxxxxx"

#define SLASHES67 "///////////////////////////////////////////////////////////////////"

static const struct {
	const char *name, *type, *put, *text;
} rows[] = {
	{ "a root as it should be", "root", "{}", NULL },
	{ "a timestamp as it should be", "timestamp", "{}", NULL },
	{ "a snapshot as it should be", "snapshot", "{}", NULL },
	{ "targets as they should be", "targets", "{}", NULL },
	{ "members that nobody knows", "root", "{\"x\":{\"y\":1}}", NULL },
	{ "another type", "root", "{\"_type\":\"targets\"}", "it is no root" },
	{ "no specification", "root", "{\"spec_version\":null}", "spec_version" },
	{ "specification 1.0, of old", "root", "{\"spec_version\":\"1.0\"}", NULL },
	{ "specification 10", "root", "{\"spec_version\":\"10.0\"}", "spec_version" },
	{ "specification 1 alone", "root", "{\"spec_version\":\"1\"}", "spec_version" },
	{ "specification 1 and a dot", "root", "{\"spec_version\":\"1.0.\"}", "spec_version" },
	{ "specification 1 in four parts", "root", "{\"spec_version\":\"1.0.0.0\"}", "spec_version" },
	{ "specification 1 in words", "root", "{\"spec_version\":\"1.x\"}", "spec_version" },
	{ "version 2^53-1", "root", "{\"version\":9007199254740991}", NULL },
	{ "specification 2", "root", "{\"spec_version\":\"2.0\"}", "spec_version" },
	{ "version 0", "root", "{\"version\":0}", "version is not" },
	{ "a version in words", "root", "{\"version\":\"3\"}", "version is not" },
	{ "expires that is no time", "root", "{\"expires\":\"soon\"}", "expires is not" },
	{ "consistent_snapshot of 1", "root", "{\"consistent_snapshot\":1}",
		"consistent_snapshot" },
	{ "keys in a list", "root", "{\"keys\":[]}", "keys is no object" },
	{ "a role that is missing", "root", "{\"roles\":{\"snapshot\":null}}",
		"a threshold is not" },
	{ "a threshold of 0", "root", "{\"roles\":{\"root\":{\"threshold\":0}}}",
		"a threshold is not" },
	{ "keyids that are no list", "root", "{\"roles\":{\"root\":{\"keyids\":{}}}}",
		"keyids is no list" },
	{ "a keyid that is a number", "root", "{\"roles\":{\"root\":{\"keyids\":[1]}}}",
		"a keyid is no text" },
	{ "an empty keyid", "root", "{\"roles\":{\"root\":{\"keyids\":[\"\"]}}}",
		"a keyid is no text" },
	{ "a keyid of 129 bytes", "root", "{\"roles\":{\"root\":{\"keyids\":[\"" LONG129 "\"]}}}",
		"a keyid is no text" },
	{ "a keyid twice", "root", "{\"roles\":{\"root\":{\"keyids\":[\"a\",\"b\",\"a\"]}}}",
		"names keyid a twice" },
	{ "a timestamp that lists more", "timestamp",
		"{\"meta\":{\"targets.json\":{\"version\":1}}}", "meta must name" },
	{ "a timestamp without meta", "timestamp", "{\"meta\":[]}", "meta must name" },
	{ "a snapshot of no version", "timestamp",
		"{\"meta\":{\"snapshot.json\":{\"version\":null}}}", "has no version" },
	{ "a negative length", "timestamp", "{\"meta\":{\"snapshot.json\":{\"length\":-1}}}",
		"has a wrong length" },
	{ "a length in words", "timestamp", "{\"meta\":{\"snapshot.json\":{\"length\":\"9\"}}}",
		"has a wrong length" },
	{ "hashes in a list", "timestamp", "{\"meta\":{\"snapshot.json\":{\"hashes\":[]}}}",
		"hashes is no object" },
	{ "a hash that is a number", "timestamp",
		"{\"meta\":{\"snapshot.json\":{\"hashes\":{\"sha256\":1}}}}",
		"hash sha256 is no text" },
	{ "a snapshot that lists null", "snapshot", "{\"meta\":{\"targets.json\":null}}",
		"has no version" },
	{ "a snapshot that lists nothing", "snapshot", "{\"meta\":{},\"_\":\"replace\"}",
		"does not name targets.json" },
	{ "a snapshot whose meta is a list", "snapshot", "{\"meta\":[]}",
		"does not name targets.json" },
	{ "a snapshot that lists no document", "snapshot",
		"{\"meta\":{\"people\":{\"version\":1}}}", "meta names \"people\"" },
	{ "a snapshot that lists a nameless one", "snapshot",
		"{\"meta\":{\".json\":{\"version\":1}}}", "meta names \".json\"" },
	{ "no targets", "targets", "{\"targets\":null}", "there are no targets" },
	{ "a target without hashes", "targets", "{\"targets\":{\"b\":{\"length\":1}}}",
		"hashes is no object" },
	{ "a target with empty hashes", "targets",
		"{\"targets\":{\"b\":{\"length\":1,\"hashes\":{}}}}", "hashes is no object" },
	{ "a target without a length", "targets", "{\"targets\":{\"b\":{" HASHES "}}}",
		"\"b\" has no length" },
	{ "a target of a negative length", "targets", "{\"targets\":{\"a\":{\"length\":-1}}}",
		"has no length" },
	{ "delegations of neither kind", "targets", "{\"delegations\":[]}",
		"exactly one of roles" },
	{ "delegations of both kinds", "targets", "{\"delegations\":{\"succinct_roles\":{}}}",
		"exactly one of roles" },
	{ "delegated roles in an object", "targets", "{\"delegations\":{\"roles\":{}}}",
		"exactly one of roles" },
	{ "delegated keys in a list", "targets", "{\"delegations\":{\"keys\":[]}}",
		"keys is no object" },
	{ "a delegation without a name", "targets", DELEGATION("\"terminating\":true,\"paths\":[]"),
		"no usable name" },
	{ "a delegation whose name has 129 bytes", "targets",
		DELEGATION("\"name\":\"" LONG129 "\",\"terminating\":true,\"paths\":[]"),
		"no usable name" },
	{ "a delegation whose file name would not fit", "targets",
		DELEGATION("\"name\":\"" SLASHES67 "\",\"terminating\":true,\"paths\":[]"),
		"no usable name" },
	{ "bins whose file names would not fit", "targets",
		"{\"delegations\":{\"keys\":{},\"succinct_roles\":{\"bit_length\":4,\"name_prefix\":\"" SLASHES67
		"\",\"keyids\":[\"a\"],\"threshold\":1}},\"_\":\"replace\"}",
		"succinct_roles is not" },
	{ "a delegation called root", "targets",
		DELEGATION("\"name\":\"root\",\"terminating\":true,\"paths\":[]"),
		"is called root" },
	{ "a delegation that does not say whether it ends", "targets",
		DELEGATION("\"name\":\"x\",\"paths\":[]"), "terminating is missing" },
	{ "a delegation of no paths", "targets", DELEGATION("\"name\":\"x\",\"terminating\":true"),
		"exactly one of paths" },
	{ "a delegation of paths and prefixes", "targets",
		DELEGATION("\"name\":\"x\",\"terminating\":true,\"paths\":[],\"path_hash_"
			   "prefixes\":[]"),
		"exactly one of paths" },
	{ "a path that is a number", "targets",
		DELEGATION("\"name\":\"x\",\"terminating\":true,\"paths\":[1]"),
		"exactly one of paths" },
	{ "two delegations of one name", "targets", TWO, "comes twice" },
	{ "bins without a prefix", "targets",
		"{\"delegations\":{\"keys\":{},\"succinct_roles\":{\"bit_length\":4}},\"_\":"
		"\"replace\"}",
		"succinct_roles is not" },
	{ "bins of 33 bits", "targets",
		"{\"delegations\":{\"keys\":{},\"succinct_roles\":{\"bit_length\":33,\"name_"
		"prefix\":\"b\"}},"
		"\"_\":\"replace\"}",
		"succinct_roles is not" },
	{ "bins without a threshold", "targets",
		"{\"delegations\":{\"keys\":{},\"succinct_roles\":{\"bit_length\":4,\"name_"
		"prefix\":\"b\"}},"
		"\"_\":\"replace\"}",
		"a threshold is not" },
	{ "bins as they should be", "targets",
		"{\"delegations\":{\"keys\":{},\"succinct_roles\":{\"bit_length\":4,\"name_"
		"prefix\":\"b\","
		"\"keyids\":[\"a\"],\"threshold\":1}},\"_\":\"replace\"}",
		NULL },
};

static void
judge(const char *name, const json_t *doc, const char *type, const char *text)
{
	uint64_t before = refuse_count(REASON_MALFORMED);
	SCOPED_JSON *copy = json_deep_copy(doc);
	int r = tuf_check(doc, type, type);

	if (r != (text ? REASON_MALFORMED : 0))
		fail_msg("%s: %s", name, refuse_token((enum reason)r));
	assert_true(json_equal(doc, copy));
	assert_int_equal(refuse_count(REASON_MALFORMED), before + (text ? 1 : 0));
	if (!text)
		return;
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_string_equal(refuse_last()->operand, type);
	if (!strstr(refuse_last()->text, text))
		fail_msg("%s: %s", name, refuse_last()->text);
}

static void
the_shape_of_each_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = good_one(rows[i].type);
		SCOPED_JSON *put = json_loads(rows[i].put, 0, NULL);

		assert_non_null(put);
		/* Members are put over the good ones, unless the row says that its own stand alone. */
		if (json_object_get(put, "_"))
			json_object_update(doc, put);
		else
			json_object_update_recursive(doc, put);
		judge(rows[i].name, doc, rows[i].type, rows[i].text);
	}
}

static void
more_than_fits(void **state)
{
	SCOPED_JSON *root = good_one("root"), *targets = good_one("targets");
	json_t *d = json_object_get(targets, "delegations");

	(void)state;
	json_object_set_new(json_object_get(json_object_get(root, "roles"), "root"), "keyids",
		many("\"\"", TUF_KEYS_MAX));
	judge("1025 keyids", root, "root", "keyids is no list");
	json_object_set_new(root, "keys", many_keys());
	judge("1025 keys", root, "root", "keys is no object of at most 1024");
	json_object_set_new(d, "roles", many("{}", TUF_DELEGATIONS_MAX));
	judge("32769 delegations", targets, "targets", "more than 32768 delegations");
	json_array_remove(json_object_get(d, "roles"), 0);
	judge("32768 delegations", targets, "targets", NULL);
}

/* --- roles and their keys ---------------------------------------------------------------------------- */
static void
what_has_no_role_verifies_nothing(void **state)
{
	SCOPED_JSON *empty = json_object();
	struct tuf_split s = { 0 };

	(void)state;
	assert_int_equal(tuf_verify(&s, empty, empty, "x"), REASON_MALFORMED);
	assert_string_equal(refuse_last()->text, "its role has no threshold");
	assert_int_equal(tuf_verify_root(&s, empty, "root", "x"), REASON_MALFORMED);
	assert_string_equal(refuse_last()->text, "the root names no role root");
}

static void
expect_key(const char *name, json_t *take_key, const char *text)
{
	uint64_t before = refuse_count(REASON_MALFORMED);
	struct tuf_key *k = NULL;
	int r = tuf_key_new(&k, take_key, "a key");

	if (r != REASON_MALFORMED || !strstr(refuse_last()->text, text))
		fail_msg("%s: %d %s", name, r, refuse_last()->text);
	assert_null(k);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	json_decref(take_key);
}

static json_t *
key_of(const char *type, const char *scheme, const char *public)
{
	return json_pack("{s:s, s:s, s:{s:s}}", "keytype", type, "scheme", scheme, "keyval",
		"public", public);
}

/* What openssl makes of these arguments, as PEM. */
static json_t *
made(const char *type, const char *scheme, const char *const argv[])
{
	SCOPED(buf_done) struct buf pem = BUF_MAX(65536);
	static const char *const pub[] = { "openssl", "pkey", "-in", "k", "-pubout", NULL };
	struct scratch dir;
	json_t *key;

	scratch_make(&dir);
	assert_int_equal(scratch_run(&dir, argv, NULL, 0, NULL), 0);
	assert_int_equal(scratch_run(&dir, pub, NULL, 0, &pem), 0);
	key = key_of(type, scheme, buf_text(&pem));
	scratch_remove(&dir);
	return key;
}

static void
keys_that_are_none(void **state)
{
	static const char *const rsa1024[] = { "openssl", "genrsa", "-out", "k", "1024", NULL };
	static const char *const p384[] = { "openssl", "ecparam", "-genkey", "-name", "secp384r1",
		"-out", "k", NULL };
	static const char *const p256[] = { "openssl", "ecparam", "-genkey", "-name", "prime256v1",
		"-out", "k", NULL };
	char big[TUF_KEY_PEM_MAX + 2];
	struct tuf_key *k = NULL;
	json_t *key;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	expect_key("no members", json_object(), "keytype and scheme");
	expect_key("a scheme that is a number",
		json_pack("{s:s, s:i}", "keytype", "rsa", "scheme", 1), "keytype and scheme");
	expect_key("no value", json_pack("{s:s, s:s}", "keytype", "ed25519", "scheme", "ed25519"),
		"keyval.public");
	expect_key("ed25519 of 2 digits", key_of("ed25519", "ed25519", "00"), "64 hex digits");
	expect_key("8193 bytes of PEM", key_of("rsa", "rsassa-pss-sha256", big),
		"longer than 8192");
	expect_key("PEM that is none", key_of("rsa", "rsassa-pss-sha256", "-----BEGIN"),
		"not what its type");
	expect_key("RSA of 1024 bits", made("rsa", "rsassa-pss-sha256", rsa1024),
		"not what its type");
	expect_key("P-384 as P-256", made("ecdsa", "ecdsa-sha2-nistp256", p384),
		"not what its type");
	expect_key("P-256 as RSA", made("rsa", "rsassa-pss-sha256", p256), "not what its type");
	key = made("ecdsa", "ecdsa-sha2-nistp256", p256);
	assert_int_equal(tuf_key_new(&k, key, "a key"), 0);
	assert_false(tuf_key_verify(k, "x", 1, "00"));
	tuf_key_free(k);
	json_decref(key);
	/* Newer metadata stays readable: an unknown scheme is kept and verifies nothing. */
	key = key_of("dilithium", "dilithium-3", "00");
	assert_int_equal(tuf_key_new(&k, key, "a key"), 0);
	assert_false(tuf_key_verify(k, "x", 1, "00"));
	tuf_key_free(k);
	json_decref(key);
}

/* The curve by all its numbers, and the point compressed: still the same key. */
static void
one_key_in_three_spellings(void **state)
{
	static const char *const make[] = { "openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", "k", NULL };
	static const char *const spellings[][10] = {
		{ "openssl", "ec", "-in", "k", "-pubout", NULL },
		{ "openssl", "ec", "-in", "k", "-pubout", "-param_enc", "explicit", NULL },
		{ "openssl", "ec", "-in", "k", "-pubout", "-conv_form", "compressed", NULL },
	};
	uint8_t first[SHA256_LEN];
	struct scratch dir;

	(void)state;
	scratch_make(&dir);
	assert_int_equal(scratch_run(&dir, make, NULL, 0, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		SCOPED(buf_done) struct buf pem = BUF_MAX(65536);
		SCOPED(tuf_key_freep) struct tuf_key *k = NULL;
		SCOPED_JSON *key = NULL;

		assert_int_equal(scratch_run(&dir, spellings[i], NULL, 0, &pem), 0);
		key = key_of("ecdsa", "ecdsa-sha2-nistp256", buf_text(&pem));
		assert_int_equal(tuf_key_new(&k, key, "a key"), 0);
		if (!i)
			memcpy(first, tuf_key_value(k), sizeof(first));
		assert_memory_equal(tuf_key_value(k), first, sizeof(first));
	}
	scratch_remove(&dir);
}

/* --- measures ---------------------------------------------------------------------------------------- */
static void
measures_that_do_not_fit(void **state)
{
	static const struct {
		const char *meta, *text;
		bool require;
	} measures[] = {
		{ "{\"length\":3}", NULL, false },
		{ "{\"length\":4}", "3 bytes, where 4 are listed", false },
		{ "{\"length\":3}", "no hash is listed", true },
		{ "{\"hashes\":{\"md5\":\"00\"}}", "no hash is listed", false },
		{ "{\"hashes\":{\"sha256\":\"00\"}}", "SHA-256", false },
		{ "{\"hashes\":{\"sha512\":\"00\"}}", "SHA-512", false },
	};
	uint8_t sha256[SHA256_LEN], sha512[SHA512_LEN];

	(void)state;
	sha256_of(sha256, "one", 3);
	sha256_sha512_of(sha512, "one", 3);
	for (size_t i = 0; i < ARRAY_LEN(measures); i++) {
		uint64_t before = refuse_count(REASON_HASH_MISMATCH);
		SCOPED_JSON *meta = json_loads(measures[i].meta, 0, NULL);
		int r;

		assert_non_null(meta);
		r = tuf_measure_check(meta, measures[i].require, 3, sha256, sha512, "one");
		assert_int_equal(r, measures[i].text ? REASON_HASH_MISMATCH : 0);
		assert_int_equal(refuse_count(REASON_HASH_MISMATCH), before + (r ? 1 : 0));
		if (r)
			assert_non_null(strstr(refuse_last()->text, measures[i].text));
	}
}

static void
a_target_without_a_known_hash(void **state)
{
	struct tuf_target t = { .path = "a", .length = 3 };

	(void)state;
	assert_int_equal(tuf_target_check(&t, "one", 3), REASON_HASH_MISMATCH);
	assert_string_equal(refuse_last()->text, "no hash is listed that we know");
}

/* --- splits ------------------------------------------------------------------------------------------ */
static void
documents_that_do_not_split(void **state)
{
	static const struct {
		const char *text, *said;
	} documents[] = {
		{ "{\"signatures\":[]}", "no \"signed\" object" },
		{ "{\"signatures\":[],\"signed\":[]}", "no \"signed\" object" },
		{ "{\"signed\":{}}", "signatures is no list" },
		{ "{\"signatures\":{},\"signed\":{}}", "signatures is no list" },
		{ "{\"signatures\":[{\"sig\":\"00\"}],\"signed\":{}}", "needs keyid and sig" },
		{ "{\"signatures\":[{\"keyid\":\"\",\"sig\":\"00\"}],\"signed\":{}}",
			"needs keyid and sig" },
		{ "{\"signatures\":[{\"keyid\":\"" LONG129 "\",\"sig\":\"00\"}],\"signed\":{}}",
			"needs keyid and sig" },
		{ "{\"signatures\":[{\"keyid\":\"a\"}],\"signed\":{}}", "needs keyid and sig" },
		{ "{\"signatures\":[{\"keyid\":\"a\",\"sig\":\"\"},{\"keyid\":\"a\",\"sig\":\"\"}],"
		  "\"signed\":{}}",
			"two signatures by one keyid" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);
		struct tuf_split s = { .length = 77 };

		assert_int_equal(tuf_split(&s, documents[i].text, strlen(documents[i].text), 1024,
					 "x"),
			REASON_MALFORMED);
		assert_non_null(strstr(refuse_last()->text, documents[i].said));
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_int_equal(s.length, 77); /* nothing was written */
	}
}

static void
halves_that_are_too_large(void **state)
{
	struct tuf_split s = { .length = 77 };
	SCOPED(scope_free) char *text = calloc(1, TUF_TARGETS_MAX + 1);
	SCOPED_JSON *sigs = json_array();

	(void)state;
	assert_int_equal(tuf_split_join(&s, text, TUF_TARGETS_MAX + 1, sigs, "x"),
		REASON_TOO_LARGE);
	assert_int_equal(s.length, 77);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shape_of_each_kind),
		cmocka_unit_test(more_than_fits),
		cmocka_unit_test(what_has_no_role_verifies_nothing),
		cmocka_unit_test(keys_that_are_none),
		cmocka_unit_test(one_key_in_three_spellings),
		cmocka_unit_test(measures_that_do_not_fit),
		cmocka_unit_test(a_target_without_a_known_hash),
		cmocka_unit_test(documents_that_do_not_split),
		cmocka_unit_test(halves_that_are_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
