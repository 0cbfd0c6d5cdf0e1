#include "appliance/enrol/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define EXPIRES UINT64_C(1800000000000000)

static void
a_token_and_back(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(TOKEN_FILE_MAX);
	struct token a, b, c;

	(void)state;
	assert_int_equal(token_mint(&a, "plant7", "acme", EXPIRES), 0);
	assert_int_equal(token_mint(&c, "plant7", "acme", EXPIRES), 0);
	assert_memory_not_equal(a.secret, c.secret, TOKEN_SECRET);
	assert_int_equal(token_text(&text, &a), 0);
	assert_int_equal(text.data[text.len - 1], '\n');
	assert_int_equal(token_parse(&b, text.data, text.len), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	token_wipe(&b);
	assert_int_equal(b.secret[0] | b.secret[31], 0);
}

static void
ids(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{ "a", true },
		{ "plant-7.north_2", true },
		{ "7", true },
		{ "", false },
		{ "-a", false },
		{ "A", false },
		{ "a b", false },
		{ "a/b", false },
		{ "..", false },
		{ "0123456789012345678901234567890123456789012345678901234567890123", true },
		{ "01234567890123456789012345678901234567890123456789012345678901234", false },
	};
	struct token t = { .site = "untouched" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(token_name_ok(rows[i].name), rows[i].good);
	assert_int_equal(token_mint(&t, "A", "acme", EXPIRES), REASON_USAGE);
	assert_int_equal(token_mint(&t, "a", "acme corp", EXPIRES), REASON_USAGE);
	assert_string_equal(t.site, "untouched");
}

static void
tokens_that_are_none(void **state)
{
#define REST "\"customer\":\"c\",\"expires\":\"2027-01-01T00:00:00Z\",\"secret\":\"" SECRET "\""
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "{\"v\":1,\"site\":\"s\"," REST "}\n", REASON_NONE },
		{ "{\"v\":0,\"site\":\"s\"," REST "}\n", REASON_MALFORMED },
		{ "{\"v\":1,\"site\":\"S\"," REST "}\n", REASON_MALFORMED },
		{ "{\"v\":1,\"site\":\"s\"," REST ",\"more\":1}", REASON_UNKNOWN_FIELD },
		{ "{\"v\":1," REST "}\n", REASON_MALFORMED },
		{ "{\"v\":1,\"site\":\"s\",\"customer\":\"c\",\"expires\":\"2027-01-01T00:00:00Z\","
		  "\"secret\":\"00\"}",
			REASON_MALFORMED },
		{ "", REASON_MALFORMED },
		{ "x", REASON_MALFORMED },
	};
	static char big[TOKEN_FILE_MAX + 1];
	struct token t = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = token_parse(&t, rows[i].text, strlen(rows[i].text));

		if (r != (int)rows[i].reason)
			fail_msg("row %zu: %s", i, refuse_token((enum reason)r));
		/* a secret is in no message */
		assert_null(strstr(refuse_last()->text, "00112233"));
	}
	assert_int_equal(token_parse(&t, big, sizeof(big)), REASON_TOO_LARGE);
}

static void
the_hmac_binds_everything(void **state)
{
	uint8_t secret[32] = { 1 }, key[32] = { 2 }, audit[32] = { 3 }, a[32], b[32];

	(void)state;
	token_hmac(a, secret, "plant7", key, audit);
	token_hmac(b, secret, "plant7", key, audit);
	assert_memory_equal(a, b, 32);
	token_hmac(b, secret, "plant8", key, audit);
	assert_memory_not_equal(a, b, 32);
	token_hmac(b, key, "plant7", key, audit);
	assert_memory_not_equal(a, b, 32);
	token_hmac(b, secret, "plant7", audit, key);
	assert_memory_not_equal(a, b, 32);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_and_back),
		cmocka_unit_test(ids),
		cmocka_unit_test(tokens_that_are_none),
		cmocka_unit_test(the_hmac_binds_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
