/* Bearer tokens of other OTLP senders: machines of a site that run no Mainstay.  A token names one site, is good for
 * ROUTE_BEARER routes alone, ends, and can be revoked; the hub keeps only its SHA-256.
 *
 *	otlp_ID_SECRET      ID 16 hex digits, said in logs and lists; SECRET 64 hex digits
 *
 * Table `bearers` of fleet.db. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/databases.h"
#include "appliance/serve/http_server.h"

extern const struct db_migration bearer_fleet_migration;

enum {
	BEARER_ID_MAX = 17, /* with NUL */
	BEARER_TEXT_MAX = 5 + 16 + 1 + 64 + 1,
	BEARER_KEEP_S = 30 * 24 * 3600, /* one that ended is listed for so long */
};

/* What is known of one; texts are borrowed. */
struct bearer {
	const char *id, *customer, *site;
	uint64_t created_us, expires_us, revoked_us; /* revoked 0: it is not */
};

/* Make one for a site of customer that has enrolled; its text, to be handed over once, goes to out (wipe it).
 * Returns 0; REASON_NOT_FOUND (logged) where customer has no such site; or a fault. */
int bearer_mint(struct db *fleet, const char *customer, const char *site, uint64_t now_us,
	uint64_t expires_us, char out[BEARER_TEXT_MAX]);
/* From now on it is refused.  Returns 0, also where it was revoked before; REASON_NOT_FOUND (logged); or a fault. */
int bearer_revoke(struct db *fleet, const char *id, uint64_t now_us);
/* The oldest first; stops at r != 0 and returns it. */
int bearer_each(struct db *fleet, int (*each)(const struct bearer *b, void *arg), void *arg);

/* The request carries an Authorization header. */
bool bearer_offered(const struct http_call *call);
/* Check the token that call carries; on 0 call->who is a sender (AUTH_SENDER) with customer and site.
 * Returns 0; REASON_MALFORMED, _UNKNOWN_KEY, _REVOKED, _EXPIRED (answer 401; logged, never with the secret); or a
 * fault. */
int bearer_check(struct http_call *call, struct databases *d, uint64_t now_us);

/* Forget those that ended BEARER_KEEP_S ago. */
int bearer_sweep(struct databases *d, uint64_t now_us);
