/* HTTP message signatures (RFC 9421) and Content-Digest (RFC 9530): the general part, and the one
 * profile that site and hub speak.
 *
 * Profile: label "sig", Ed25519, parameters created, expires (at most 300 s later), nonce, keyid
 * (hex SHA-256 of the raw key), tag "mainstay-v1".  A request covers @method @authority @path
 * @query, and content-type content-encoding content-digest mainstay-stream mainstay-sequence where
 * present; a reply covers @status content-digest and mainstay-committed where present, and repeats
 * the request's nonce. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"

struct buf;
struct sfield_item;

enum {
	HTTPSIG_FIELD_MAX = 8192, /* bytes of Signature-Input, Signature, Content-Digest */
	HTTPSIG_LABELS_MAX = 4,
	HTTPSIG_COMPONENTS_MAX = 32,
	HTTPSIG_BASE_MAX = 64 * 1024,
	HTTPSIG_NONCE_MAX = 65, /* with NUL */
	HTTPSIG_LIFE_S = 300,
	HTTPSIG_EARLY_S = 60,
	HTTPSIG_DIGEST_MAX = 64, /* "sha-256=:BASE64:" and NUL */
};

struct httpsig_header {
	const char *name; /* any case */
	const char *value;
};

/* A message as it went over the wire.  Headers are borrowed, repeated ones stand in their order. */
struct httpsig_message {
	const char *method; /* "POST"; NULL in a reply */
	const char
		*scheme; /* "https"; used only for the default port and @target-uri; NULL: https */
	const char *authority; /* "hub.example:8443" */
	const char *target;    /* origin form: "/v1/mailbox?after=3" */
	int status;	       /* of a reply; 0 in a request */
	const struct httpsig_header *headers;
	size_t n_headers;
};

/* --- general ---------------------------------------------------------------------------------- */
/* Append the signature base for an inner list of covered components with its parameters.  Returns
 * 0, REASON_MALFORMED (logged: a component unknown, twice, missing, or with a parameter we do not
 * take), or a fault. */
int httpsig_base(struct buf *out, const struct httpsig_message *m,
	const struct sfield_item *covered);

/* "sha-256=:…:".  Returns out. */
char *httpsig_digest(char out[HTTPSIG_DIGEST_MAX], const uint8_t sha256[32]);

/* The value of a field, its lines joined by ", " and trimmed, appended to out.  false where
 * absent. */
bool httpsig_field(struct buf *out, const struct httpsig_message *m, const char *name);

/* --- the profile: requests -------------------------------------------------------------------- */
/* Header values to add to a message. */
struct httpsig_fields {
	char *input;			 /* Signature-Input */
	char *signature;		 /* Signature */
	char digest[HTTPSIG_DIGEST_MAX]; /* Content-Digest; "" where the message has no body */
	char nonce[HTTPSIG_NONCE_MAX];	 /* what the signed reply must repeat */
};
void httpsig_fields_done(struct httpsig_fields *f);

/* Sign a request.  m's headers must already hold what else is covered and must not hold
 * Content-Digest; body_sha256 is of the content as sent, NULL for none.  Free *ret with
 * httpsig_fields_done(). */
int httpsig_sign_request(struct httpsig_fields *ret, const struct httpsig_message *m,
	const uint8_t *body_sha256, const struct ed25519 *key, uint64_t now_us);

/* Find the raw public key of a keyid.  Returns 0, a refusal (logged by the callback), or a
 * fault. */
typedef int httpsig_key_fn(const char *keyid, uint8_t ret_key[ED25519_KEY_LEN], void *arg);

struct httpsig_verified {
	char keyid[ED25519_KEYID_MAX];
	uint8_t key[ED25519_KEY_LEN];
	char nonce[HTTPSIG_NONCE_MAX];
	uint64_t created_s, expires_s;
};

/* Check a request, in this order: sizes, strict parse, the one label whose tag is ours, parameters
 * and times against now_us, required components covered (content-digest where has_body), key by
 * callback, signature. The caller then refuses a nonce it has seen under this keyid (replayed), and
 * only then reads the body by httpsig_check_body().  Returns 0; REASON_UNSIGNED, REASON_MALFORMED,
 * REASON_TOO_LARGE, REASON_EXPIRED, REASON_NOT_YET_VALID, REASON_BAD_SIGNATURE, or the callback's
 * refusal (all logged); or a fault. */
int httpsig_verify_request(struct httpsig_verified *ret, const struct httpsig_message *m,
	bool has_body, uint64_t now_us, httpsig_key_fn *find, void *arg);

/* Content-Digest is there and every algorithm in it that we know is right.  Returns 0,
 * REASON_MALFORMED or REASON_HASH_MISMATCH (logged). */
int httpsig_check_body(const struct httpsig_message *m, const void *body, size_t len);

/* The nonce that an unverified request claims, which a signed refusal repeats; "" where there is none.  out has
 * HTTPSIG_NONCE_MAX bytes.  Logs nothing: who verifies will. */
const char *httpsig_claimed_nonce(char *out, const struct httpsig_message *m);

/* Append the value of Accept-Signature (section 5.1): what a request like m has to be signed over and with. */
void httpsig_accept(struct buf *out, const struct httpsig_message *m, bool has_body);

/* --- the profile: replies --------------------------------------------------------------------- */
/* Sign a reply.  m has status and the headers to be covered (Mainstay-Committed where given);
 * body_sha256 is of the content, also when that is empty; nonce is the request's. */
int httpsig_sign_reply(struct httpsig_fields *ret, const struct httpsig_message *m,
	const uint8_t body_sha256[32], const char *nonce, const struct ed25519 *key,
	uint64_t now_us);

/* Check a reply by the pinned key: covers what the profile says, repeats nonce, and its digest fits
 * the body. *ret_created_s (may be NULL) is the hub's clock, a hint and no more; times are not
 * judged.  Returns 0, REASON_UNSIGNED, REASON_MALFORMED, REASON_TOO_LARGE, REASON_BAD_SIGNATURE,
 * REASON_REPLAYED (another nonce), REASON_HASH_MISMATCH (logged), or a fault. */
int httpsig_verify_reply(const struct httpsig_message *m, const void *body, size_t len,
	const char *nonce, const uint8_t key[ED25519_KEY_LEN], uint64_t *ret_created_s);
