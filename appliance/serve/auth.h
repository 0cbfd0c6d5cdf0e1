/* Who signed a request: RFC 9421 over the call, key looked up in the registry, nonce used once.
 *
 * Order: headers' sizes, strict parse, tag and keyid, times, covered components, key, signature, nonce,
 * digest of the body.  A body is looked at by nobody before this said yes. */
#pragma once

#include "appliance/serve/databases.h"
#include "appliance/serve/http_server.h"

extern const struct db_migration auth_fleet_migration;

/* Fill call->nonce from what the request claims (its signature's nonce, or Mainstay-Nonce where it has none),
 * so that every reply can be signed, refusals too: a site with a wrong clock gets our time from a 401 that it
 * can believe.  What is no nonce is left out. */
void auth_claim_nonce(struct http_call *call);

/* Check call against the keys of d; authority is the hub's own ("127.0.0.1:8443").  On 0 call->who is
 * filled.
 * Returns 0; REASON_UNSIGNED, _MALFORMED, _UNKNOWN_KEY, _BAD_SIGNATURE, _EXPIRED, _NOT_YET_VALID,
 * _HASH_MISMATCH, _WRONG_ADDRESSEE (answer 401), _REPLAYED (409) (logged); or a fault. */
int auth_check(struct http_call *call, struct databases *d, const char *authority);

/* Of a call that auth_check() let in some time ago: does its key still stand for the same one?  Returns 0;
 * REASON_UNKNOWN_KEY or _EXPIRED (logged); or a fault. */
int auth_still(const struct http_call *call, struct databases *d);

/* The HTTP status of a refusal by auth_check() or auth_still(). */
int auth_http_status(int reason);

/* Use a nonce once: remembered until expires_us, on disk before this returns.  Returns 0, REASON_REPLAYED
 * (logged), or a fault. */
int auth_nonce_use(struct databases *d, const char *keyid, const char *nonce, uint64_t expires_us);
/* The time that signatures are judged by and replies are signed with: the clock's, but never before the latest expiry
 * of a nonce that was forgotten.  So a clock that is set back reopens no window: what was taken once is expired by
 * this clock, also after a restart, and sites learn it from our signed replies as they learn any other.  Returns 0, or a
 * fault: not knowing what was forgotten, nothing can be taken. */
int auth_now_us(struct databases *d, uint64_t *ret_us);
/* Forget nonces that no valid signature can carry any more, and remember up to when.  In one transaction, on disk
 * before this returns. */
int auth_nonce_sweep(struct databases *d, uint64_t now_us);

/* An engineer's login covers this customer. */
bool auth_covers(const struct auth_identity *who, const char *customer);
