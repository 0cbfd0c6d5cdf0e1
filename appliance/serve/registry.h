/* Who is known to the hub: sites, the keys that may sign requests, and each site's last statement.
 * Tables `sites` and `keys` of fleet.db and `statements` of each customer's file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/serve/databases.h"
#include "appliance/serve/http_server.h"

extern const struct db_migration registry_fleet_migration;
extern const struct db_migration registry_customer_migration;

enum { REGISTRY_ENVELOPE_MAX = 64 * 1024 };

/* What a site is to the hub.  One that is marked cloned is served as before: who is told decides. */
#define REGISTRY_PENDING "pending"   /* no engineer signed its record: nothing of it is taken */
#define REGISTRY_ACCEPTED "accepted"
#define REGISTRY_CLONED "cloned"     /* two speak with its key */
#define REGISTRY_LEFT "left"         /* it said goodbye; its keys are gone */

struct registry_site {
	char site[65];
	char customer[65];
	char status[16]; /* REGISTRY_ above */
	char platform[64];
	uint8_t key[32];
	uint8_t audit_key[32];
	uint64_t enrolled_us;
	uint64_t last_contact_us; /* 0: never */
	int64_t clock_offset_ms;
	char *record;             /* envelope site@, or NULL; owned */
};
void registry_site_done(struct registry_site *s);

/* Returns 0, REASON_NOT_FOUND (unlogged), or a fault. */
int registry_site_get(struct databases *d, const char *site, struct registry_site *ret);

/* Write a pending site, replacing one of the same name (its keys go).  Inside the caller's transaction on
 * fleet.db. */
int registry_site_put(struct databases *d, const struct registry_site *s);

/* Store the verified site record and set status accepted.  Own statement, no transaction needed. */
int registry_site_accept(struct databases *d, const char *site, const char *record);

/* Is it one that no engineer has accepted?  Returns 0 with *ret, or a fault. */
int registry_site_pending(struct databases *d, const char *site, bool *ret);
int registry_site_status(struct databases *d, const char *site, const char *status);
/* Another site key: what the former one said of courier's keys counts no more.  In the caller's transaction. */
int registry_site_rekey(struct databases *d, const char *site, const uint8_t key[32]);
/* Its courier's keys are good no more. */
int registry_site_forget_keys(struct databases *d, const char *site);

/* A request of this site was authenticated just now. */
int registry_site_seen(struct databases *d, const char *site, uint64_t now_us, int64_t clock_offset_ms);

/* Sites in the order of their names; each() borrows.  Stops at r != 0 and returns it. */
int registry_site_each(struct databases *d, int (*each)(const struct registry_site *s, void *arg),
	void *arg);

/* The key may sign requests as who->kind until not_after_us.  A courier's key ends, one hour from
 * now, those of its site that would have ended before it.  One that ends before another of its site is an older one
 * shown again: what is left of it is not prolonged, and what is over does not come back.
 * Returns 0; REASON_CONFLICT (logged) where it is another site's or engineer's; REASON_EXPIRED (logged) where a
 * newer one took its place; or a fault. */
int registry_key_put(struct databases *d, const struct auth_identity *who, uint64_t not_after_us);

/* The same for a courier, by a statement of its site: statements end later and later, so that one that was
 * superseded, whoever shows it, gives nobody a key.  Inside the caller's transaction.  Returns also
 * REASON_REPLAYED (logged) where a later statement came before; 0 for the very same one again. */
int registry_courier_put(struct databases *d, const struct auth_identity *who, uint64_t not_after_us);

/* Look a request key up by its id.  Returns 0 with *ret (but clock_offset_ms) and *ret_not_after_us;
 * REASON_UNKNOWN_KEY (unlogged); or a fault. */
int registry_key_get(struct databases *d, const char *keyid, struct auth_identity *ret,
	uint64_t *ret_not_after_us);
/* Drop keys that ended before now_us. */
int registry_key_sweep(struct databases *d, uint64_t now_us);

/* The last verified statement of a site: envelope as received and its payload.  Inside the caller's
 * transaction on the customer's file. */
int registry_statement_put(struct db *customer, const char *site, uint64_t now_us, const char *envelope,
	const char *payload);
/* Its key is another one: what the former one signed is nobody's word now. */
int registry_statement_forget(struct db *customer, const char *site);
/* *ret_* are malloc'ed texts; either pointer may be NULL.  Returns 0, REASON_NOT_FOUND (unlogged), or a fault. */
int registry_statement_get(struct db *customer, const char *site, char **ret_envelope, char **ret_payload);
