#include "appliance/trust/ed25519.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/sync_fails.h"
#include "tests/fakes/vectors.h"

static const char *
text_of(const json_t *obj, const char *name)
{
	return json_string_value(json_object_get(obj, name));
}

static void
unhex(struct buf *out, const char *hex)
{
	size_t n = strlen(hex) / 2;

	assert_true(hex_decode(buf_reserve(out, n + 1), n, hex));
	buf_advance(out, n);
}

static void
wycheproof(void **state)
{
	json_t *v = vectors_load("wycheproof/ed25519_test.json"), *group, *test;
	size_t i, j, good = 0, bad = 0;

	(void)state;
	json_array_foreach(json_object_get(v, "testGroups"), i, group) {
		uint8_t key[32];

		assert_true(hex_decode(key, 32,
			text_of(json_object_get(group, "publicKey"), "pk")));
		json_array_foreach(json_object_get(group, "tests"), j, test) {
			SCOPED(buf_done) struct buf msg = BUF_MAX(4096), sig = BUF_MAX(4096);
			bool valid = !strcmp(text_of(test, "result"), "valid");
			bool ok;

			unhex(&msg, text_of(test, "msg"));
			unhex(&sig, text_of(test, "sig"));
			ok = sig.len == ED25519_SIG_LEN &&
				ed25519_verify(key, msg.data, msg.len, sig.data);
			if (ok != valid)
				fail_msg("case %lld",
					json_integer_value(json_object_get(test, "tcId")));
			*(valid ? &good : &bad) += 1;
		}
	}
	vectors_ran("wycheproof ed25519", good + bad, 0);
	assert_int_equal(good, 88);
	assert_int_equal(bad, 63);
	json_decref(v);
}

/* A key that is a point of small order is refused; so is every non-canonical encoding.  Every other
 * key of these vectors passes. */
static void
low_order_keys(void **state)
{
	json_t *v = vectors_load("cctv-ed25519/ed25519vectors.json"), *test, *flag;
	uint64_t before = refuse_count(REASON_LOW_ORDER_KEY);
	size_t i, j, refused = 0;

	(void)state;
	json_array_foreach(v, i, test) {
		bool bad = false;
		uint8_t key[32];
		int r;

		json_array_foreach(json_object_get(test, "flags"), j, flag) {
			const char *f = json_string_value(flag);

			bad |= !strcmp(f, "low_order_A") || !strcmp(f, "non_canonical_A");
		}
		assert_true(hex_decode(key, 32, text_of(test, "key")));
		r = ed25519_check_public(key, "test");
		if (r != (bad ? (int)REASON_LOW_ORDER_KEY : 0))
			fail_msg("case %zu: %s", i, text_of(test, "key"));
		refused += bad;
	}
	assert_int_equal(refuse_count(REASON_LOW_ORDER_KEY) - before, refused);
	assert_true(refused > 200);
	vectors_ran("cctv-ed25519", i, 0);
	json_decref(v);
}

static void
small_order_without_vectors(void **state)
{
	static const char *const bad[] = {
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	};
	struct ed25519 *k = NULL;
	uint8_t key[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(hex_decode(key, 32, bad[i]));
		assert_int_equal(ed25519_check_public(key, "key"), REASON_LOW_ORDER_KEY);
		assert_int_equal(refuse_last()->reason, REASON_LOW_ORDER_KEY);
	}
	assert_int_equal(ed25519_generate(&k), 0);
	assert_int_equal(ed25519_check_public(ed25519_public(k), "key"), 0);
	ed25519_free(k);
}

/* RFC 8032, 7.1, test 2. */
static void
signs_as_the_rfc_says(void **state)
{
	struct ed25519 *k = NULL;
	uint8_t seed[32], sig[64];
	char hex[129];

	(void)state;
	hex_decode(seed, 32, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
	assert_int_equal(ed25519_from_seed(&k, seed), 0);
	assert_string_equal(ed25519_public_hex(k),
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	assert_int_equal(ed25519_sign(k, "\x72", 1, sig), 0);
	assert_string_equal(hex_encode(hex, sig, 64),
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
		"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
	assert_true(ed25519_verify(ed25519_public(k), "\x72", 1, sig));
	assert_false(ed25519_verify(ed25519_public(k), "\x73", 1, sig));
	ed25519_free(k);
}

static void
files(void **state)
{
	struct ed25519 *a = NULL, *b = NULL;
	struct scratch s;
	struct stat st;

	(void)state;
	scratch_make(&s);
	assert_int_equal(ed25519_load(&a, s.fd, "site.key"), REASON_NOT_FOUND);
	/* One that may not outlive a power cut is none. */
	folder_failures = 1;
	assert_int_equal(ed25519_load_or_make(&a, s.fd, "site.key"), -EIO);
	assert_int_equal(faccessat(s.fd, "site.key", F_OK, 0), -1);
	assert_int_equal(ed25519_load_or_make(&a, s.fd, "site.key"), 0);
	assert_int_equal(ed25519_load_or_make(&b, s.fd, "site.key"), 0);
	assert_string_equal(ed25519_keyid(a), ed25519_keyid(b));
	assert_int_equal(fstatat(s.fd, "site.key", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 8 + 64 + 1);
	b = ed25519_free(b);

	assert_int_equal(fchmodat(s.fd, "site.key", 0640, 0), 0);
	assert_int_equal(ed25519_load(&b, s.fd, "site.key"), REASON_MALFORMED);
	assert_null(b);
	scratch_write(&s, "other.key", "ed25519:xyz\n", 12);
	assert_int_equal(ed25519_load(&b, s.fd, "other.key"), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_string_equal(refuse_last()->operand, "other.key");
	scratch_write(&s, "other.key",
		"ed25519:XX0000000000000000000000000000000000000000000000000000000000000000\n", 73);
	assert_int_equal(ed25519_load(&b, s.fd, "other.key"), REASON_MALFORMED);
	/* all is well but its first word */
	scratch_write(&s, "other.key",
		"ed25518:0000000000000000000000000000000000000000000000000000000000000000\n", 73);
	assert_refused(ed25519_load(&b, s.fd, "other.key"), REASON_MALFORMED, "no Ed25519 key file");
	assert_null(b);
	scratch_write(&s, "other.key",
		"ed25519:000000000000000000000000000000000000000000000000000000000000000X\n", 73);
	assert_int_equal(ed25519_load(&b, s.fd, "other.key"), REASON_MALFORMED);
	assert_null(b);
	ed25519_free(a);
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wycheproof),
		cmocka_unit_test(low_order_keys),
		cmocka_unit_test(small_order_without_vectors),
		cmocka_unit_test(signs_as_the_rfc_says),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
