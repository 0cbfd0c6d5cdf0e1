/* Owners' statements: k of the customer's owners say yes to one thing.
 *
 * The message (namespace owner@mainstay) is {v, site, kind, digest, time}; each owner signs its canonical bytes
 * (SSHSIG), on a machine of their own if they like, and the signatures travel together in one envelope.  What the
 * digest is of depends on the kind:
 *
 *	policy    the compiled policy; the policy of witnesses; which records of the log are erased
 *	approver  a compiled policy that differs from the one in force in its approvers alone
 *	switch    the text "NAME on" (NAME: telemetry, updates, remote or all)
 *	core      a core release: its index */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/policy/policy.h"

enum owner_kind { OWNER_POLICY, OWNER_SWITCH, OWNER_CORE, OWNER_APPROVER, OWNER_KINDS };

enum {
	OWNER_LIFE_S = 7 * 24 * 3600, /* to walk from one owner to the next */
	OWNER_AHEAD_S = 300,
};

/* "policy" "switch" "core" "approver" */
const char *owner_kind_text(enum owner_kind kind);
/* false where text is none of them. */
bool owner_kind_parse(enum owner_kind *ret, const char *text);

/* The message; the caller's.  NULL without memory. */
json_t *owner_payload(const char *site, enum owner_kind kind, const uint8_t digest[32],
	uint64_t time_us);

/* What the monitor itself knows. */
struct owner_question {
	const struct policy *policy; /* in force: its owners count */
	const char *site;	     /* "" before enrolment */
	unsigned kinds;		     /* 1 << enum owner_kind: those that would do here */
	const uint8_t *digest;	     /* 32 bytes */
	uint64_t now_us;
	uint64_t date_us; /* what an end is held against: now_us, or earlier while the clock is doubtful */
	const uint64_t *used; /* OWNER_KINDS times: the last one that counted, of each kind */
};

/* Verify an envelope.  In this order: form (malformed, unknown-field, too-large, unsigned), kind (wrong-role), site
 * (wrong-addressee), digest (altered), each owner's signature (bad-signature), how many (threshold; others' do not count),
 * time (not-yet-valid, expired, and replayed: not later than the last one of its kind).  Of a policy without owners
 * every key is unknown (unknown-key).  Returns 0 with the statement's kind and time; the reason (logged); or a fault. */
int owner_verify(enum owner_kind *ret_kind, uint64_t *ret_time_us, const struct owner_question *q,
	const void *envelope, size_t len);
