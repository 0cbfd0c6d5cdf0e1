/* Control verb that erases records of the audit log, as the law may ask:
 *
 *	audit.erase  from to reason -> {"from","to","erased","entry"}: how many went, and the entry that says so
 *
 * Where the policy names owners its body is their envelope: a statement of kind policy about the digest
 * below. */
#pragma once

#include <stdint.h>

#include "appliance/trust/sha256.h"

struct monitor;

int erase_verb_init(struct monitor *m);

/* What owners sign: SHA-256 of the canonical JSON {"erase":"records","from":N,"reason":TEXT,"to":M}.  Returns 0,
 * or a fault where the text is no UTF-8. */
int erase_verb_digest(uint8_t out[SHA256_LEN], uint64_t from, uint64_t to, const char *why);
