/* Heads that contradict each other: what a hub kept when a site's audit log did not continue the one that it had
 * cosigned.  What a site signed proves it; what the hub alone says is labelled so. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { DESK_EVIDENCE_TEXT_MAX = 512 };

struct desk_evidence {
	bool rollback; /* else a fork */
	bool proven;   /* two roots of one size; of two sizes only the hub says which came first */
	char text[DESK_EVIDENCE_TEXT_MAX]; /* one line, harmless on a terminal */
};

/* Read one item {"kind","checkpoint","stood","time"}, both heads signed by the site's audit key.  Returns 0; what is no
 * such evidence: REASON_MALFORMED, REASON_UNSIGNED, REASON_UNKNOWN_KEY, REASON_BAD_SIGNATURE, REASON_WRONG_ADDRESSEE
 * (another log), REASON_CONFLICT (the two do not contradict each other; all logged); or a fault. */
int desk_evidence_read(struct desk_evidence *ret, const char *site, const uint8_t audit_key[32],
	const json_t *item);

/* The first of items ends it: REASON_ROLLBACK or REASON_ALTERED (logged), or what is wrong with it; 0 where there is
 * none. */
int desk_evidence_require_none(const char *site, const uint8_t audit_key[32], const json_t *items);
