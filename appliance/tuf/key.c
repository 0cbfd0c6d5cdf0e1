#include "appliance/tuf/key.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/metadata.h"

enum scheme { SCHEME_UNKNOWN, SCHEME_ED25519, SCHEME_P256, SCHEME_RSA_PSS };

struct tuf_key {
	enum scheme scheme;
	uint8_t value[SHA256_LEN];
	uint8_t raw[ED25519_KEY_LEN]; /* ed25519 */
	EVP_PKEY *pkey;		      /* the others */
};

/* Old repositories name P-256 keys by their scheme. */
static const struct {
	const char *keytype, *scheme;
	enum scheme is;
} schemes[] = {
	{ "ed25519", "ed25519", SCHEME_ED25519 },
	{ "ecdsa", "ecdsa-sha2-nistp256", SCHEME_P256 },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", SCHEME_P256 },
	{ "rsa", "rsassa-pss-sha256", SCHEME_RSA_PSS },
};

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, SIG_MAX = RSA_BITS_MAX / 8 };

static void
free_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void
free_bio(BIO **b)
{
	BIO_free(*b);
}

static enum scheme
find_scheme(const char *keytype, const char *scheme)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (!strcmp(schemes[i].keytype, keytype) && !strcmp(schemes[i].scheme, scheme))
			return schemes[i].is;
	}
	return SCHEME_UNKNOWN;
}

/* The curve or size must be the one the scheme names: OpenSSL would verify with any. */
static bool
pkey_fits(EVP_PKEY *pkey, enum scheme scheme)
{
	char curve[32] = "";

	if (scheme == SCHEME_RSA_PSS)
		return EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN &&
			EVP_PKEY_get_bits(pkey) <= RSA_BITS_MAX;
	return EVP_PKEY_is_a(pkey, "EC") &&
		EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), NULL) == 1 &&
		!strcmp(curve, "prime256v1");
}

/* The same point can be written compressed or not, its curve by name or by all its numbers: the value is taken over
 * the point alone. */
static int
pkey_value(EVP_PKEY *pkey, enum scheme scheme, uint8_t value[SHA256_LEN])
{
	unsigned char *bytes = NULL;
	size_t n;

	if (scheme == SCHEME_P256) {
		(void)EVP_PKEY_set_utf8_string_param(pkey,
			OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed");
		n = EVP_PKEY_get1_encoded_public_key(pkey, &bytes);
	} else {
		int len = i2d_PUBKEY(pkey, &bytes);

		n = len > 0 ? (size_t)len : 0;
	}
	if (!n)
		return FAULT(-ENOMEM);
	sha256_of(value, bytes, n);
	OPENSSL_free(bytes);
	return 0;
}

static int
read_pem(struct tuf_key *k, const char *text, size_t len, const char *operand)
{
	SCOPED(free_pkey) EVP_PKEY *pkey = NULL;
	SCOPED(free_bio) BIO *bio = NULL;
	bool fits;

	if (len > TUF_KEY_PEM_MAX)
		return REFUSE(REASON_MALFORMED, operand, "a public key is longer than %d bytes",
			TUF_KEY_PEM_MAX);
	bio = BIO_new_mem_buf(text, (int)len);
	if (!bio)
		return FAULT(-ENOMEM);
	errno = 0;
	pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	fits = pkey && pkey_fits(pkey, k->scheme);
	ERR_clear_error();
	if (!fits)
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, operand, "a public key is not what its type says");
	k->pkey = STEAL(pkey);
	return pkey_value(k->pkey, k->scheme, k->value);
}

static int
read_ed25519(struct tuf_key *k, const char *text, const char *operand)
{
	if (!hex_decode(k->raw, sizeof(k->raw), text))
		return REFUSE(REASON_MALFORMED, operand, "an ed25519 key is not 64 hex digits");
	sha256_of(k->value, k->raw, sizeof(k->raw));
	return ed25519_check_public(k->raw, operand);
}

/* A key we cannot use still has a value, so that it can be told from others. */
static int
read_unknown(struct tuf_key *k, const json_t *key)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX); /* it came in no more */
	int r;

	r = json_canonical(&b, key);
	r = r ?: buf_error(&b);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(k->value, b.data, b.len);
	return 0;
}

int
tuf_key_new(struct tuf_key **ret, const json_t *key, const char *operand)
{
	const json_t *keytype = json_object_get(key, "keytype"),
		     *scheme = json_object_get(key, "scheme"),
		     *public = json_object_get(json_object_get(key, "keyval"), "public");
	SCOPED(tuf_key_freep) struct tuf_key *k = NULL;
	int r;

	if (!json_is_string(keytype) || !json_is_string(scheme))
		return REFUSE(REASON_MALFORMED, operand, "a key needs keytype and scheme");
	k = calloc(1, sizeof(*k));
	if (!k)
		return FAULT(-ENOMEM);
	k->scheme = find_scheme(json_string_value(keytype), json_string_value(scheme));
	if (k->scheme != SCHEME_UNKNOWN && !json_is_string(public))
		return REFUSE(REASON_MALFORMED, operand, "a key needs keyval.public");

	if (k->scheme == SCHEME_UNKNOWN)
		r = read_unknown(k, key);
	else if (k->scheme == SCHEME_ED25519)
		r = read_ed25519(k, json_string_value(public), operand);
	else
		r = read_pem(k, json_string_value(public), json_string_length(public), operand);
	if (r)
		return r;
	*ret = STEAL(k);
	return 0;
}

struct tuf_key *
tuf_key_free(struct tuf_key *k)
{
	if (!k)
		return NULL;
	EVP_PKEY_free(k->pkey);
	free(k);
	return NULL;
}

const uint8_t *
tuf_key_value(const struct tuf_key *k)
{
	return k->value;
}

static bool
verify_pkey(const struct tuf_key *k, const void *p, size_t len, const uint8_t *sig, size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */
	bool ready, good;

	ready = ctx && EVP_DigestVerifyInit(ctx, &pctx, EVP_sha256(), NULL, k->pkey) == 1;
	if (ready && k->scheme == SCHEME_RSA_PSS)
		ready = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_AUTO) == 1 &&
			EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, EVP_sha256()) == 1;
	good = ready && EVP_DigestVerify(ctx, sig, n, p, len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	/* The key fits the scheme: nothing but memory can be wanting, now or when OpenSSL first looked for the algorithm. */
	if (!ready)
		errno = ENOMEM;
	return good;
}

bool
tuf_key_verify(const struct tuf_key *k, const void *p, size_t len, const char *sig_hex)
{
	uint8_t sig[SIG_MAX];
	size_t digits = strlen(sig_hex);

	errno = 0;
	if (!digits || digits % 2 || digits > 2 * SIG_MAX || !hex_decode(sig, digits / 2, sig_hex))
		return false;
	switch (k->scheme) {
	case SCHEME_UNKNOWN:
		return false;
	case SCHEME_ED25519:
		return digits / 2 == ED25519_SIG_LEN && ed25519_verify(k->raw, p, len, sig);
	case SCHEME_P256:
	case SCHEME_RSA_PSS:
		return verify_pkey(k, p, len, sig, digits / 2);
	}
	return false;
}

int
tuf_key_id(char out[65], const json_t *key)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
	uint8_t digest[SHA256_LEN];
	int r;

	r = json_canonical(&b, key);
	r = r ?: buf_error(&b);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(digest, b.data, b.len);
	hex_encode(out, digest, sizeof(digest));
	return 0;
}

json_t *
tuf_key_ed25519(const uint8_t raw[32])
{
	char hex[ED25519_HEX_MAX];

	return json_pack("{s:s, s:s, s:{s:s}}", "keytype", "ed25519", "scheme", "ed25519", "keyval",
		"public", hex_encode(hex, raw, ED25519_KEY_LEN));
}
