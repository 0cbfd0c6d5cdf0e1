#include "appliance/trust/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/hex.h"

/* FIPS 180-4 and RFC 4231. */
static void
digests_are_right(void **state)
{
	uint8_t d[SHA512_LEN];
	char hex[129];
	struct sha256 h;

	(void)state;
	sha256_of(d, "abc", 3);
	assert_string_equal(hex_encode(hex, d, 32),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_of(d, NULL, 0);
	assert_string_equal(hex_encode(hex, d, 32),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_init(&h);
	sha256_put(&h, "a", 1);
	sha256_put(&h, "", 0);
	sha256_put(&h, "bc", 2);
	sha256_final(&h, d);
	assert_string_equal(hex_encode(hex, d, 32),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_sha512_of(d, "abc", 3);
	assert_string_equal(hex_encode(hex, d, 64),
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
		"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void
hmacs_are_right(void **state)
{
	uint8_t key[131], d[32];
	char hex[65];

	(void)state;
	sha256_hmac(d, "Jefe", 4, "what do ya want for nothing?", 28);
	assert_string_equal(hex_encode(hex, d, 32),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	sha256_hmac(d, key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First",
		54);
	assert_string_equal(hex_encode(hex, d, 32),
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void
text_is_strict(void **state)
{
	uint8_t d[32], back[32];
	char text[SHA256_TEXT_MAX];

	(void)state;
	sha256_of(d, "x", 1);
	assert_true(sha256_parse(back, sha256_text(text, d)));
	assert_true(sha256_same(d, back, 32));
	back[31] ^= 1;
	assert_false(sha256_same(d, back, 32));
	assert_false(sha256_parse(back, text + 7));
	text[70] = 'G';
	assert_false(sha256_parse(back, text));
	assert_false(sha256_parse(back, "sha256:ab"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_right),
		cmocka_unit_test(hmacs_are_right),
		cmocka_unit_test(text_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
