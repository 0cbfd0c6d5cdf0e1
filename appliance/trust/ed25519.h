/* Ed25519 keys of daemons: files, signatures, and which public keys we take from strangers.
 *
 * A key file holds "ed25519:HEX64\n" (the seed), mode 0600.  A key's id is hex SHA-256 of its raw
 * 32 public bytes.  Secrets are wiped when freed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum {
	ED25519_KEY_LEN = 32,
	ED25519_SIG_LEN = 64,
	ED25519_KEYID_MAX = 65, /* 64 hex digits and NUL */
	ED25519_HEX_MAX = 65,
};

struct ed25519; /* a private key; opaque */

/* A new key, or the one of a seed (copied).  *ret is the caller's.  Return 0 or a fault. */
int ed25519_generate(struct ed25519 **ret);
int ed25519_from_seed(struct ed25519 **ret, const uint8_t seed[ED25519_KEY_LEN]);
struct ed25519 *ed25519_free(struct ed25519 *k);
SCOPED_DESTRUCTOR(struct ed25519, ed25519_free)

/* Read dir_fd/name.  Returns 0; REASON_NOT_FOUND (unlogged); REASON_MALFORMED (logged) where it is
 * no key file or where others than its owner may read it; or a fault. */
int ed25519_load(struct ed25519 **ret, int dir_fd, const char *name);
/* Replace dir_fd/name by this key, durably, 0600 (fs_replace(): it waits for the disk).  Returns 0 or a fault. */
int ed25519_save(const struct ed25519 *k, int dir_fd, const char *name);
/* Load, or where there is no such file generate and save; where that fails no such file is left.  Results as of those. */
int ed25519_load_or_make(struct ed25519 **ret, int dir_fd, const char *name);

const uint8_t *ed25519_public(const struct ed25519 *k);	 /* 32 bytes; borrowed */
const char *ed25519_public_hex(const struct ed25519 *k); /* borrowed */
const char *ed25519_keyid(const struct ed25519 *k);	 /* borrowed */

/* Sign these bytes (RFC 8032, pure Ed25519).  Returns 0, or a fault: sig says nothing then. */
int ed25519_sign(const struct ed25519 *k, const void *p, size_t len, uint8_t sig[ED25519_SIG_LEN]);

/* true where sig is good.  Where there was no memory to find out, false and errno is ENOMEM, else that it never is.
 *  Says nothing about whether key is one to trust. */
bool ed25519_verify(const uint8_t key[ED25519_KEY_LEN], const void *p, size_t len,
	const uint8_t sig[ED25519_SIG_LEN]);

/* For keys that the other side chose: REASON_LOW_ORDER_KEY (logged with operand) where the bytes
 * are the encoding of a point of small order, or are not the one canonical encoding of their point,
 * so that one signature could fit many messages or two ids name one key.  Else 0. */
int ed25519_check_public(const uint8_t key[ED25519_KEY_LEN], const char *operand);

/* The same as words, for who names the place himself; NULL where the key is sound. */
const char *ed25519_weakness(const uint8_t key[ED25519_KEY_LEN]);

/* Hex SHA-256 of a raw public key.  Returns out. */
char *ed25519_keyid_of(char out[ED25519_KEYID_MAX], const uint8_t key[ED25519_KEY_LEN]);
