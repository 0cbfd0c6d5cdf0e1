#include "appliance/enrol/token.h"

#include <errno.h>
#include <jansson.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

#define OPERAND "token"
#define HMAC_PURPOSE "enrol@mainstay"

struct fields {
	uint64_t v, expires_us;
	const char *site, *customer, *secret;
};

static const struct json_field table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct fields, site), TOKEN_NAME_MAX - 1 },
	{ "customer", JSON_KIND_TEXT, false, offsetof(struct fields, customer),
		TOKEN_NAME_MAX - 1 },
	{ "secret", JSON_KIND_TEXT, false, offsetof(struct fields, secret), 2 * TOKEN_SECRET },
	{ "expires", JSON_KIND_TIME, false, offsetof(struct fields, expires_us), 0 },
};

bool
token_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= TOKEN_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!plain && !(i && strchr("._-", c)))
			return false;
	}
	return true;
}

int
token_mint(struct token *ret, const char *site, const char *customer, uint64_t expires_us)
{
	if (!token_name_ok(site))
		return REFUSE(REASON_USAGE, site,
			"no site id: small letters, digits, . _ -, at most %d", TOKEN_NAME_MAX - 1);
	if (!token_name_ok(customer))
		return REFUSE(REASON_USAGE, customer,
			"no customer id: small letters, digits, . _ -, at most %d",
			TOKEN_NAME_MAX - 1);
	*ret = (struct token){ .expires_us = expires_us };
	memcpy(ret->site, site, strlen(site));
	memcpy(ret->customer, customer, strlen(customer));
	fs_random(ret->secret, sizeof(ret->secret));
	return 0;
}

int
token_parse(struct token *ret, const void *p, size_t len)
{
	SCOPED_JSON *obj = NULL;
	struct fields f = { 0 };
	struct token t = { 0 };
	int r;

	r = json_read(&obj, p, len, TOKEN_FILE_MAX, OPERAND);
	r = r ?: json_members(obj, table, ARRAY_LEN(table), &f, OPERAND);
	if (r)
		return FAULT(r);
	if (f.v != 1 || !token_name_ok(f.site) || !token_name_ok(f.customer) ||
		!hex_decode(t.secret, sizeof(t.secret), f.secret))
		return REFUSE(REASON_MALFORMED, OPERAND, "no enrolment token of version 1");
	memcpy(t.site, f.site, strlen(f.site));
	memcpy(t.customer, f.customer, strlen(f.customer));
	t.expires_us = f.expires_us;
	*ret = t;
	token_wipe(&t);
	return 0;
}

int
token_text(struct buf *out, const struct token *t)
{
	SCOPED_JSON *obj = json_object();
	int r;

	if (!obj)
		return FAULT(-ENOMEM);
	r = json_put_u64(obj, "v", 1);
	r = r ?: json_put_text(obj, "site", t->site);
	r = r ?: json_put_text(obj, "customer", t->customer);
	r = r ?: json_put_hex(obj, "secret", t->secret, sizeof(t->secret));
	r = r ?: json_put_time(obj, "expires", t->expires_us);
	r = r ?: json_canonical(out, obj);
	buf_u8(out, '\n');
	return FAULT(r ?: buf_error(out));
}

void
token_wipe(struct token *t)
{
	sha256_wipe(t, sizeof(*t));
}

void
token_hmac(uint8_t out[32], const uint8_t secret[TOKEN_SECRET], const char *site,
	const uint8_t key[32], const uint8_t audit_key[32])
{
	uint8_t bytes[sizeof(HMAC_PURPOSE) + TOKEN_NAME_MAX + 64], *at = bytes;
	size_t n = strlen(site) + 1; /* with its NUL */

	if (n > TOKEN_NAME_MAX)
		n = TOKEN_NAME_MAX; /* no id is longer: such a site fits no token */
	memcpy(at, HMAC_PURPOSE, sizeof(HMAC_PURPOSE));
	at += sizeof(HMAC_PURPOSE);
	memcpy(at, site, n);
	at += n;
	memcpy(at, key, 32);
	memcpy(at + 32, audit_key, 32);
	at += 64;
	sha256_hmac(out, secret, TOKEN_SECRET, bytes, (size_t)(at - bytes));
}
