/* Rows of the hub's mailbox: tables `mailboxes` and `requests` of a customer's file. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/db.h"
#include "remote/mailbox/mailbox_wire.h"

struct request;

extern const struct db_migration mailbox_store_migration;

/* Add a request (kind dry-run: one for its plan alone) for its site.  *ret_n is its number in the site's mailbox.
 * Returns 0, also where exactly this request is there already; REASON_CONFLICT where another one has its id;
 * REASON_BUSY where too many of the site or of its engineer are on their way (logged); or a fault.  Its own
 * transaction.  Where the site has more than it may, what is over goes, oldest first. */
int mailbox_store_add(struct db *db, enum mailbox_kind kind, const struct request *request, const char *envelope,
	uint64_t now_us, uint64_t *ret_n);

/* Requests that ended before their site fetched them are given to nobody: state "expired".  *ret_n: how many. */
int mailbox_store_expire(struct db *db, uint64_t now_us, int64_t *ret_n);

/* The site has what came up to number `after`.  Returns 0; REASON_CONFLICT (logged) where that is more than
 * MAILBOX_HUB_AHEAD_MAX ahead of us; or a fault.  *ret_changed: something became delivered. */
int mailbox_store_acknowledge(struct db *db, const char *site, uint64_t after, uint64_t now_us, bool *ret_changed);

/* Append what waits behind `after` and has not ended by now_us, oldest first, as {"n","kind","body"}. */
int mailbox_store_waiting(struct db *db, const char *site, uint64_t after, uint64_t now_us, json_t *items);

/* The next number of a site's mailbox, inside the caller's transaction. */
int mailbox_store_next(struct db *db, const char *site, int64_t *ret);

/* The digest of a request of this site.  Returns 0, REASON_NOT_FOUND (unlogged), or a fault. */
int mailbox_store_digest(struct db *db, const char *site, const char *id, uint8_t ret[32]);

/* A verified plan (outcome NULL) or result of a request, with the word that lists show for it, inside the caller's transaction.  A request that did not
 * come through this mailbox (it crossed by file) gets a row of its own, as long as there are not too many of them:
 * REASON_BUSY; REASON_CONFLICT where the id is another site's (both logged). */
int mailbox_store_answer(struct db *db, const char *site, const char *id, const uint8_t digest[32], const char *outcome,
	const char *decision, const char *envelope, uint64_t now_us);

/* One request as engineers see it, with what was asked, plan and result, each as it was signed.  Returns 0 with *ret the caller's,
 * REASON_NOT_FOUND (unlogged), or a fault. */
int mailbox_store_get(struct db *db, const char *id, json_t **ret);
/* Append the newest requests to items, without plans and results. */
int mailbox_store_list(struct db *db, json_t *items);

/* Append those of a site that are on their way, oldest first, the same way. */
int mailbox_store_open(struct db *db, const char *site, uint64_t now_us, json_t *items);

/* Append the newest operations that ran on a site: {"what","time"}. */
int mailbox_store_changes(struct db *db, const char *site, json_t *changes);
int mailbox_store_sweep(struct db *db, uint64_t before_us);
