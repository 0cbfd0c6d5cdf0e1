/* The site's end of enrolment: make the request, judge the answer.  No network, no files. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/enrol/token.h"
#include "appliance/trust/ed25519.h"

struct buf;

/* Append the body of POST /v1/enrol.  daemon is the courier's envelope of enrol_site_daemon(),
 * borrowed. */
int enrol_site_request(struct buf *out, const struct token *token, const struct ed25519 *site_key,
	const uint8_t audit_key[32], const json_t *daemon, const char *platform, uint64_t now_us);

/* An envelope daemon@: the site key says that key is this site's courier until not_after. */
int enrol_site_daemon(json_t **ret, const char *site, const uint8_t key[32], uint64_t not_after_us,
	const struct ed25519 *site_key);

/* What the answer to such a body must repeat: the first half of its SHA-256, hex. */
enum { ENROL_SITE_NONCE_MAX = 33 };
char *enrol_site_nonce(char out[ENROL_SITE_NONCE_MAX], const void *body, size_t len);

struct enrol_site_answer {
	char customer[TOKEN_NAME_MAX];
	bool accepted;
	json_t *record; /* the site record's envelope, unverified; NULL while pending; owned */
};
void enrol_site_answer_done(struct enrol_site_answer *a);

/* Read a 200's body, whose reply signature the caller has verified.  Returns 0; REASON_MALFORMED,
 * REASON_UNKNOWN_FIELD; REASON_WRONG_ADDRESSEE where it is about another site or customer than the
 * token's (all logged); or a fault. */
int enrol_site_answer(struct enrol_site_answer *ret, const void *p, size_t len, const char *site,
	const char *customer);
