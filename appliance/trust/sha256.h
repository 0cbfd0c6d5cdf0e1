/* SHA-256 (and SHA-512 where a foreign format asks for it), HMAC, comparison without a time leak.
 *
 * Nothing here allocates or blocks and nothing here can fail, so that callers have no path for it.  Lengths are bytes;
 * what is given is borrowed for the call, and may be NULL where its length is 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SHA256_LEN = 32,
	SHA512_LEN = 64,
	SHA256_TEXT_MAX = 7 + 64 + 1, /* "sha256:HEX" and NUL */
};

struct sha256 {
	uint64_t state[16]; /* the library's own context, by value */
};

/* Of bytes that come in parts: begin, each part in order, then the digest, after which h is for sha256_init() alone. */
void sha256_init(struct sha256 *h);
void sha256_put(struct sha256 *h, const void *p, size_t len);
void sha256_final(struct sha256 *h, uint8_t out[SHA256_LEN]);

/* Of bytes that are all there; out may not lie in them.  HMAC-SHA-256 as RFC 2104, for a key of any length. */
void sha256_of(uint8_t out[SHA256_LEN], const void *p, size_t len);
void sha256_sha512_of(uint8_t out[SHA512_LEN], const void *p, size_t len);
void sha256_hmac(uint8_t out[SHA256_LEN], const void *key, size_t key_len, const void *p,
	size_t len);

/* Compares in a time that depends on len alone. */
bool sha256_same(const void *a, const void *b, size_t len);
/* Overwrites a secret so that the compiler cannot leave it out. */
void sha256_wipe(void *p, size_t len);

/* "sha256:HEX".  Returns out. */
char *sha256_text(char out[SHA256_TEXT_MAX], const uint8_t digest[SHA256_LEN]);
/* Exactly "sha256:HEX" of 64 lower-case digits; false for anything else. */
bool sha256_parse(uint8_t out[SHA256_LEN], const char *text);
