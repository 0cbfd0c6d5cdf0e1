/* Permits: the customer's yes to one request, signed by an approver over the very plan they read.
 *
 * The signed bytes are the rendered plan text, LF, the canonical JSON of the permit, LF (namespace
 * permit@mainstay, SSHSIG).  `mainstay requests show ID --out F` writes exactly those bytes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/policy/policy.h"

struct buf;
struct sshkey_public;

enum {
	PERMIT_TEXT_MAX = 256 * 1024, /* plan text and permit together */
	PERMIT_JSON_MAX = 8 * 1024,
	PERMIT_NAME_MAX = 64,
	PERMIT_REASON_MAX = 1024,
	PERMIT_USES_MAX = 100,
};

struct permit {
	char id[PERMIT_NAME_MAX + 1];
	uint8_t request[32]; /* digest of the request's payload */
	uint8_t plan[32];    /* digest of the plan's payload */
	bool allow;	     /* decision "allow"; else "deny" */
	uint64_t not_before, expires;
	unsigned
		uses; /* 1..PERMIT_USES_MAX; above 1 it also covers later requests whose plan says the same */
	char approver[PERMIT_NAME_MAX + 1];
	char reason[PERMIT_REASON_MAX + 1]; /* may be "" */
};

/* The permit as JSON; the caller's. */
json_t *permit_json(const struct permit *permit);
/* Strict.  Returns 0, REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged), or a fault. */
int permit_parse(struct permit *ret, const json_t *doc);

/* Append exactly the bytes that an approver signs. */
int permit_text(struct buf *out, const char *plan_text, const struct permit *permit);

/* Take the signed bytes apart: the permit, and how many of them are the plan text.  Verifies nothing.  Returns 0,
 * REASON_MALFORMED, REASON_TOO_LARGE or REASON_UNKNOWN_FIELD (logged), or a fault. */
int permit_split(struct permit *ret, size_t *ret_plan_len, const char *text, size_t len);

/* By whose key is it signed?  The signature is verified (sig as permit_verify()'s); whether that key may approve is not
 * asked.  Returns 0; REASON_MALFORMED, REASON_TOO_LARGE, REASON_UNSIGNED, REASON_BAD_SIGNATURE (logged); or a fault. */
int permit_signer(struct sshkey_public *ret, const void *text, size_t len, const void *sig,
	size_t sig_len);

/* What the monitor itself knows of the request that waits. */
struct permit_question {
	const char *plan_text;	       /* as rendered by the monitor */
	const uint8_t *request, *plan; /* digests */
	uint64_t now_us;
	const struct policy *policy;
	const struct policy_answer *answer; /* which approvers may; its decision is ask */
	/* Is it an engineer's key?  Such a key approves nothing. */
	bool (*is_engineer)(const struct sshkey_public *key, void *arg);
	void *arg;
	unsigned used; /* uses of this permit so far */
};

/* Verify a signed permit: text are the signed bytes, sig the SSHSIG (armoured or the binary blob).
 * In this order: form (malformed, unknown-field), the plan text (altered) and the digests (wrong request:
 * altered), approver listed (unknown-key, wrong-role), key not an engineer's (wrong-role), signature
 * (bad-signature), times (not-yet-valid, expired), uses (replayed).  Returns 0 with *ret filled, the reason
 * (logged), or a fault.  A deny verifies as an allow does. */
int permit_verify(struct permit *ret, const struct permit_question *q, const void *text, size_t len,
	const void *sig, size_t sig_len);
