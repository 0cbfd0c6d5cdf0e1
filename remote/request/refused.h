/* Digests of requests that were turned away with a result signed by the site, and of those that an engineer took back
 * before they came: the file lib/monitor/requests/refused.
 *
 * An engineer who reads "refused" must be able to rely on it.  Most of what turns a request away
 * before it is kept can be brought about, and then undone, by whoever carries it: a spoiled
 * signature, people withheld, too many at once.  So what was answered so is never taken later.  Where the file is damaged
 * nobody knows what was: then nothing is taken that was made before that was found. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"

enum {
	REQUEST_REFUSED_MAX = 1024,
	/* Of them by anybody at all: a flood leaves engineers room to take back what they asked for. */
	REQUEST_REFUSED_STRANGERS_MAX = 768,
};

struct request_refused;

/* Open lib/monitor/requests below monitor_fd (borrowed during the call) and read the file; one that
 * is damaged is set aside and logged, as a request's is, and another says when (now_us; 0: the clock is doubtful).  Returns
 * 0 or a fault. */
int request_refused_open(struct request_refused **ret, int monitor_fd, uint64_t now_us);
struct request_refused *request_refused_close(struct request_refused *s);
SCOPED_DESTRUCTOR(struct request_refused, request_refused_close)

bool request_refused_has(const struct request_refused *s, const uint8_t digest[SHA256_LEN]);

/* May a request that begins then be one that a damaged file knew?  While the clock is doubtful (now_us 0) and nobody knows
 * when the file was damaged: every one.  *ret is set in any case.  Returns 0 or a fault. */
int request_refused_forgot(struct request_refused *s, uint64_t not_before_us, uint64_t now_us, bool *ret);

/* Remember it, for twice as long as it may live (a REQUEST_ of request_wire.h); durable when it returns 0.  Returns REASON_BUSY
 * (unlogged) where max (one of the above) are remembered already, or a fault; then nothing may be signed about the
 * digest. */
int request_refused_add(struct request_refused *s, const uint8_t digest[SHA256_LEN],
	uint64_t now_us, uint64_t life_s, size_t max);
