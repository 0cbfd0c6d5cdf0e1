/* The envelope of every signed message that is not TUF's:
 * {"payload":base64,"sigs":[{"keyid","sig"}]}.
 *
 * The payload is canonical JSON (OLPC).  A daemon's sig is hex Ed25519 over namespace NUL payload;
 * a person's is base64 of a binary SSHSIG blob over the payload in that namespace.  Opening checks
 * form only: nothing in it is to be believed before one of the two verify calls returned 0. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/message.h"
#include "appliance/trust/sshkey.h"

struct buf;

enum { ENVELOPE_SIGS_MAX = 16 };

struct envelope {
	enum message type;
	json_t *payload; /* parsed from exactly bytes; owned */
	uint8_t *bytes;	 /* canonical; owned */
	size_t len;
	uint8_t sha256[32]; /* of bytes: the digest of the message */
	struct envelope_sig {
		char keyid[ED25519_KEYID_MAX]; /* 64 hex digits; distinct */
		const char *sig;	       /* as it stands; borrowed from text */
	} sigs[ENVELOPE_SIGS_MAX];
	size_t n_sigs;
	json_t *text; /* the whole envelope; owned */
};

/* Open an envelope.  Refused: other members, payload not canonical or no object, a keyid twice.
 * Returns 0; REASON_MALFORMED, REASON_TOO_LARGE, REASON_UNKNOWN_FIELD, REASON_UNSIGNED (no
 * signature at all; all logged, the operand being message_word()); or a fault. */
int envelope_open(struct envelope **ret, enum message type, const void *p, size_t len);
int envelope_open_json(struct envelope **ret, enum message type, const json_t *obj);
struct envelope *envelope_free(struct envelope *e);
SCOPED_DESTRUCTOR(struct envelope, envelope_free)

/* Signed by this daemon's key?  Returns 0; REASON_UNKNOWN_KEY where none of its signatures is by
 * that key; REASON_BAD_SIGNATURE (both logged). */
int envelope_verify_daemon(const struct envelope *e, const uint8_t key[ED25519_KEY_LEN]);

/* The same for a person. */
int envelope_verify_person(const struct envelope *e, const struct sshkey_public *key);

/* The public key that signature i of a person's envelope says it is by (unverified), for looking
 * the person up.  Returns 0 or REASON_MALFORMED (logged), also where keyid is not that key's. */
int envelope_claimed_key(const struct envelope *e, size_t i, struct sshkey_public *ret);

/* The kind of message (enum message) whose namespace signature i of a person's envelope names (unverified); the
 * envelope's own type where that is none or cannot be read: verifying then says why not.  Or a fault, where nobody
 * could look. */
int envelope_claimed_message(const struct envelope *e, size_t i);

/* Make an envelope over payload.  *ret is the caller's.  Return 0; REASON_MALFORMED or
 * REASON_TOO_LARGE where payload does not fit the type (logged); for a person what
 * sshkey_signer_sign() says; or a fault. */
int envelope_seal(json_t **ret, enum message type, const json_t *payload,
	const struct ed25519 *key);
/* Add the signature of another daemon's key to an envelope made by envelope_seal(). */
int envelope_cosign(json_t *envelope, enum message type, const json_t *payload, const struct ed25519 *key);
int envelope_seal_person(json_t **ret, enum message type, const json_t *payload,
	const struct sshkey_signer *signer);

/* SHA-256 of a payload's canonical bytes: the digest of the message. */
int envelope_digest(uint8_t out[32], const json_t *payload);
