#include "appliance/trust/sshkey.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"

enum {
	TOKEN_USER_PRESENT = 0x01,
	P256_POINT = 65,
	P256_NUMBER = 32,
};
#define CURVE "nistp256"

static const char *const types[] = {
	[SSHKEY_ED25519] = "ssh-ed25519",
	[SSHKEY_SK_ED25519] = "sk-ssh-ed25519@openssh.com",
	[SSHKEY_P256] = "ecdsa-sha2-nistp256",
	[SSHKEY_SK_P256] = "sk-ecdsa-sha2-nistp256@openssh.com",
};

static bool
is_token(enum sshkey_kind kind)
{
	return kind == SSHKEY_SK_ED25519 || kind == SSHKEY_SK_P256;
}

static bool
is_p256(enum sshkey_kind kind)
{
	return kind == SSHKEY_P256 || kind == SSHKEY_SK_P256;
}

static void
pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void
pkey_ctx_freep(EVP_PKEY_CTX **p)
{
	EVP_PKEY_CTX_free(*p);
}

static void
md_ctx_freep(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

static void
ecdsa_freep(ECDSA_SIG **p)
{
	ECDSA_SIG_free(*p);
}

/* NULL where the point is not on the curve. */
static EVP_PKEY *
p256_key(const uint8_t point[P256_POINT])
{
	SCOPED(pkey_ctx_freep) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point,
			P256_POINT),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *pkey = NULL;

	if (!c || EVP_PKEY_fromdata_init(c) != 1 ||
		EVP_PKEY_fromdata(c, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return pkey;
}

/* --- public keys ------------------------------------------------------------------------------ */
static int
parse_raw(struct sshkey_public *k, struct cursor *c, const char *operand)
{
	struct cursor raw;

	if (is_p256(k->kind)) {
		struct cursor curve = cursor_string(c);

		if (!cursor_is(&curve, CURVE))
			return REFUSE(REASON_MALFORMED, operand,
				"key is not on the curve its type names");
	}
	raw = cursor_string(c);
	k->raw_len = is_p256(k->kind) ? P256_POINT : ED25519_KEY_LEN;
	if (cursor_left(&raw) != k->raw_len)
		return REFUSE(REASON_MALFORMED, operand, "key has %zu bytes instead of %zu",
			cursor_left(&raw), k->raw_len);
	memcpy(k->raw, raw.p, k->raw_len);
	if (!is_p256(k->kind))
		return ed25519_check_public(k->raw, operand);

	errno = 0;
	SCOPED(pkey_freep) EVP_PKEY *pkey = k->raw[0] == 4 ? p256_key(k->raw) : NULL;
	if (!pkey && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!pkey)
		return REFUSE(REASON_MALFORMED, operand, "key is no point of its curve");
	return 0;
}

int
sshkey_parse_blob(struct sshkey_public *ret, const void *p, size_t len, const char *operand)
{
	struct cursor c = CURSOR(p, len);
	struct sshkey_public k = { 0 };
	struct cursor type, application;
	uint8_t digest[SHA256_LEN];
	size_t kind;
	int r;

	if (len > sizeof(k.blob))
		return REFUSE(REASON_TOO_LARGE, operand, "key over %zu bytes", sizeof(k.blob));
	type = cursor_string(&c);
	for (kind = 0; kind < ARRAY_LEN(types) && !cursor_is(&type, types[kind]); kind++)
		;
	if (kind == ARRAY_LEN(types))
		return REFUSE(REASON_MALFORMED, operand,
			"key type is none of ssh-ed25519, ecdsa-sha2-nistp256 and their sk- forms");
	k.kind = (enum sshkey_kind)kind;
	r = parse_raw(&k, &c, operand);
	if (r)
		return FAULT(r);
	if (is_token(k.kind)) {
		application = cursor_string(&c);
		if (!cursor_left(&application) ||
			cursor_left(&application) >= sizeof(k.application) ||
			memchr(application.p, 0, cursor_left(&application)))
			return REFUSE(REASON_MALFORMED, operand,
				"token's application is no short text");
		memcpy(k.application, application.p, cursor_left(&application));
	}
	if (!cursor_done(&c))
		return REFUSE(REASON_MALFORMED, operand, "key is cut short or has bytes left over");
	memcpy(k.blob, p, len);
	k.blob_len = len;
	sha256_of(digest, p, len);
	hex_encode(k.keyid, digest, sizeof(digest));
	*ret = k;
	return 0;
}

int
sshkey_parse(struct sshkey_public *ret, const char *line, const char *operand)
{
	size_t type_len = strcspn(line, " "), b64_len, len;
	uint8_t blob[SSHKEY_BLOB_MAX];
	const char *b64 = line + type_len;
	struct sshkey_public k;
	int r;

	if (*b64 != ' ' || strpbrk(line, "\r\n"))
		return REFUSE(REASON_MALFORMED, operand, "no OpenSSH public key on one line");
	b64++;
	b64_len = strcspn(b64, " ");
	if (!hex_unbase64_into(blob, sizeof(blob), &len, b64, b64_len))
		return REFUSE(REASON_MALFORMED, operand,
			"no OpenSSH public key: not base64, or too long");
	r = sshkey_parse_blob(&k, blob, len, operand);
	if (r)
		return FAULT(r);
	if (strlen(types[k.kind]) != type_len || memcmp(types[k.kind], line, type_len))
		return REFUSE(REASON_MALFORMED, operand,
			"the line says another key type than its key");
	*ret = k;
	return 0;
}

char *
sshkey_line(char out[SSHKEY_LINE_MAX], const struct sshkey_public *key)
{
	char text[HEX_BASE64_MAX(SSHKEY_BLOB_MAX)];

	snprintf(out, SSHKEY_LINE_MAX, "%s %s", types[key->kind],
		hex_base64_into(text, key->blob, key->blob_len));
	return out;
}

const char *
sshkey_type(enum sshkey_kind kind)
{
	return types[kind];
}

bool
sshkey_same(const struct sshkey_public *a, const struct sshkey_public *b)
{
	return a->blob_len == b->blob_len && !memcmp(a->blob, b->blob, a->blob_len);
}

/* --- signatures ------------------------------------------------------------------------------- */
/* An SSH mpint that is a positive number below 2^256, in its one encoding; NULL otherwise. */
static BIGNUM *
get_number(struct cursor *c)
{
	struct cursor n = cursor_string(c);
	size_t len = cursor_left(&n);

	if (!len || len > P256_NUMBER + 1 || (n.p[0] & 0x80))
		return NULL;
	if (n.p[0] == 0 && (len == 1 || !(n.p[1] & 0x80)))
		return NULL;
	return BN_bin2bn(n.p, (int)len, NULL);
}

static bool
p256_verify(const uint8_t point[P256_POINT], struct cursor sig, const void *p, size_t len)
{
	SCOPED(pkey_freep) EVP_PKEY *pkey = p256_key(point);
	SCOPED(md_ctx_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
	SCOPED(ecdsa_freep) ECDSA_SIG *es = ECDSA_SIG_new();
	BIGNUM *r = get_number(&sig), *s = get_number(&sig);
	uint8_t der[80], *at = der;
	int n;

	if (!r || !s || !es || !cursor_done(&sig)) {
		BN_free(r);
		BN_free(s);
		return false;
	}
	ECDSA_SIG_set0(es, r, s);
	n = i2d_ECDSA_SIG(es, NULL);
	if (n <= 0 || n > (int)sizeof(der))
		return false;
	n = i2d_ECDSA_SIG(es, &at);
	return pkey && c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, pkey) == 1 &&
		EVP_DigestVerify(c, der, (size_t)n, p, len) == 1;
}

static bool
raw_verify(const struct sshkey_public *key, struct cursor sig, const void *p, size_t len)
{
	if (is_p256(key->kind))
		return p256_verify(key->raw, sig, p, len);
	return cursor_left(&sig) == ED25519_SIG_LEN && ed25519_verify(key->raw, p, len, sig.p);
}

/* What a token signs: digests of its application and of the message, its flags and counter
 * between. */
static bool
token_verify(const struct sshkey_public *key, struct cursor sig, uint8_t flags, uint32_t counter,
	const void *p, size_t len)
{
	uint8_t bytes[SHA256_LEN + 1 + 4 + SHA256_LEN], *at = bytes;

	sha256_of(at, key->application, strlen(key->application));
	at += SHA256_LEN;
	*at++ = flags;
	for (int shift = 24; shift >= 0; shift -= 8)
		*at++ = (uint8_t)(counter >> shift);
	sha256_of(at, p, len);
	return raw_verify(key, sig, bytes, sizeof(bytes));
}

int
sshkey_verify(const struct sshkey_public *key, const void *sig, size_t sig_len, const void *p,
	size_t len, const char *operand)
{
	struct cursor c = CURSOR(sig, sig_len);
	struct cursor type = cursor_string(&c), raw = cursor_string(&c);
	uint32_t counter = 0;
	uint8_t flags = 0;
	bool good;

	if (is_token(key->kind)) {
		flags = cursor_u8(&c);
		counter = cursor_u32(&c);
	}
	if (!cursor_done(&c))
		return REFUSE(REASON_MALFORMED, operand,
			"SSH signature is cut short or has bytes left over");
	if (!cursor_is(&type, types[key->kind]))
		return REFUSE(REASON_BAD_SIGNATURE, operand,
			"signature is of another type than key %.16s", key->keyid);
	if (is_token(key->kind) && !(flags & TOKEN_USER_PRESENT))
		return REFUSE(REASON_BAD_SIGNATURE, operand,
			"token %.16s signed without its user's presence", key->keyid);
	errno = 0;
	good = is_token(key->kind) ? token_verify(key, raw, flags, counter, p, len)
				   : raw_verify(key, raw, p, len);
	if (!good && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!good)
		return REFUSE(REASON_BAD_SIGNATURE, operand, "signature by key %.16s is wrong",
			key->keyid);
	return 0;
}
