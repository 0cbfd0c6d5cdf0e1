/* Public keys of TUF metadata: ed25519, ECDSA P-256 and RSA-PSS, verified through OpenSSL.
 *
 * A threshold counts key values, not key ids: two ids of one key count once.  A key of an
 * unknown type or scheme is kept and verifies nothing, so that newer metadata stays readable. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum {
	TUF_KEYID_MAX = 128,	/* bytes of a key id */
	TUF_SIG_HEX_MAX = 65536, /* characters of a signature, also of schemes yet to come */
	TUF_KEY_PEM_MAX = 8192,
};

struct tuf_key; /* one public key; opaque, immutable */

/* Read a key object {"keytype","scheme","keyval":{"public"}}; unknown members are allowed.
 * Returns 0, REASON_MALFORMED (logged with operand) or a fault. */
int tuf_key_new(struct tuf_key **ret, const json_t *key, const char *operand);
struct tuf_key *tuf_key_free(struct tuf_key *k);
SCOPED_DESTRUCTOR(struct tuf_key, tuf_key_free)

/* SHA-256 of the key's value, whatever its id or spelling: equal for equal keys. */
const uint8_t *tuf_key_value(const struct tuf_key *k);

/* true where sig_hex is this key's signature over these bytes.  Any text is safe. */
/* As ed25519_verify(): false and ENOMEM in errno where it could not be found out. */
bool tuf_key_verify(const struct tuf_key *k, const void *p, size_t len, const char *sig_hex);

/* The key id of a key object: hex SHA-256 of its canonical form.  out has 65 bytes. */
int tuf_key_id(char out[65], const json_t *key);

/* The key object of a raw Ed25519 key; NULL only where there is no memory. */
json_t *tuf_key_ed25519(const uint8_t raw[32]);
