#include "appliance/trust/sha256.h"

/* The low-level calls are deprecated for having no way to fail and no allocation, which is just
 * what a digest in the middle of a parser wants. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "appliance/base/hex.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct sha256),
	"struct sha256 holds the library's context");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct sha256), "and is aligned for it");

enum { BLOCK = 64 };

static SHA256_CTX *
context(struct sha256 *h)
{
	return (SHA256_CTX *)(void *)h->state;
}

void
sha256_init(struct sha256 *h)
{
	SHA256_Init(context(h));
}

void
sha256_put(struct sha256 *h, const void *p, size_t len)
{
	if (len)
		SHA256_Update(context(h), p, len);
}

void
sha256_final(struct sha256 *h, uint8_t out[SHA256_LEN])
{
	SHA256_Final(out, context(h));
}

void
sha256_of(uint8_t out[SHA256_LEN], const void *p, size_t len)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_put(&h, p, len);
	sha256_final(&h, out);
}

void
sha256_sha512_of(uint8_t out[SHA512_LEN], const void *p, size_t len)
{
	SHA512_CTX c;

	SHA512_Init(&c);
	if (len)
		SHA512_Update(&c, p, len);
	SHA512_Final(out, &c);
}

void
sha256_hmac(uint8_t out[SHA256_LEN], const void *key, size_t key_len, const void *p, size_t len)
{
	uint8_t block[BLOCK] = { 0 };
	struct sha256 h;

	if (key_len > BLOCK)
		sha256_of(block, key, key_len);
	else if (key_len)
		memcpy(block, key, key_len);

	for (size_t i = 0; i < BLOCK; i++)
		block[i] ^= 0x36;
	sha256_init(&h);
	sha256_put(&h, block, BLOCK);
	sha256_put(&h, p, len);
	sha256_final(&h, out);

	for (size_t i = 0; i < BLOCK; i++)
		block[i] ^= 0x36 ^ 0x5c;
	sha256_init(&h);
	sha256_put(&h, block, BLOCK);
	sha256_put(&h, out, SHA256_LEN);
	sha256_final(&h, out);

	sha256_wipe(block, sizeof(block));
	sha256_wipe(&h, sizeof(h));
}

bool
sha256_same(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
sha256_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

char *
sha256_text(char out[SHA256_TEXT_MAX], const uint8_t digest[SHA256_LEN])
{
	memcpy(out, "sha256:", 7);
	hex_encode(out + 7, digest, SHA256_LEN);
	return out;
}

bool
sha256_parse(uint8_t out[SHA256_LEN], const char *text)
{
	if (strncmp(text, "sha256:", 7))
		return false;
	return hex_decode(out, SHA256_LEN, text + 7);
}
