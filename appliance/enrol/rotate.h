/* A site's key gives its place to another: the message, signed by both, and the request that brings it.
 *
 *   site -> hub  POST /v1/rotate {"v":1,"rotation":ENVELOPE,"daemon":ENVELOPE}
 *                rotation: envelope rotate@mainstay {"v":1,"site","old":HEX,"new":HEX,"time"}, two signatures
 *                daemon:   the courier's key (enrol_wire.h), by the new key: every statement by the old one ends
 *   hub -> site  200 {"v":1,"site","key":HEX}, signed by the reply key: that key is the site's now
 *
 * The hub serves the rotations since the site record, and a desk follows them from the key that an engineer
 * vouched for to the present one; a new record ends the chain.  The audit key stays: the log goes on. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/enrol/token.h"

struct buf;
struct ed25519;

enum {
	ROTATE_BODY_MAX = 16 * 1024,
	ROTATE_CHAIN_MAX = 64, /* rotations without a new record */
};
#define ROTATE_PATH "/v1/rotate"

struct rotate {
	char site[TOKEN_NAME_MAX];
	uint8_t old_key[32], new_key[32];
	uint64_t time_us;
};

/* *ret is the caller's. */
int rotate_seal(json_t **ret, const char *site, const struct ed25519 *old_key, const struct ed25519 *new_key,
	uint64_t now_us);
/* Form and both signatures.  Whether the old key was the site's is the caller's to know.  Returns 0;
 * REASON_MALFORMED, REASON_UNKNOWN_FIELD, REASON_LOW_ORDER_KEY, REASON_UNSIGNED, REASON_UNKNOWN_KEY (one of the two
 * did not sign), REASON_BAD_SIGNATURE (all logged); or a fault. */
int rotate_open(struct rotate *ret, const json_t *envelope);

/* Append the body of the request. */
int rotate_request(struct buf *out, const json_t *rotation, const json_t *daemon);
/* Take it apart; both are the caller's.  Returns 0; REASON_MALFORMED, REASON_TOO_LARGE, REASON_UNKNOWN_FIELD
 * (logged); or a fault. */
int rotate_request_read(json_t **ret_rotation, json_t **ret_daemon, const void *p, size_t len);

int rotate_answer(json_t **ret, const char *site, const uint8_t key[32]);
/* A 200's body, whose reply signature the caller has verified: does it say that key is site's now?  Returns 0;
 * REASON_MALFORMED, REASON_UNKNOWN_FIELD, REASON_WRONG_ADDRESSEE (logged); or a fault. */
int rotate_answer_check(const void *p, size_t len, const char *site, const uint8_t key[32]);
