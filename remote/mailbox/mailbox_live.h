/* Rows about a request that is under way: tables `cancels` and `progress` of a customer's file. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/db.h"

#define MAILBOX_LIVE_NONE UINT64_MAX

/* Put a verified cancel behind the request that it ends.  *ret_site is the request's (65 bytes).  One of each engineer for
 * each request waits at a time: a second is the first.  Returns 0; REASON_NOT_FOUND where the hub has no such request,
 * REASON_CONFLICT where it is over (both logged); or a fault.  Its own transaction. */
int mailbox_live_cancel(struct db *db, const char *id, const char *engineer, const char *envelope, uint64_t now_us,
	char ret_site[65]);

/* Keep what a request of this site says while it runs, inside the caller's transaction.  *ret_kept: false where it was
 * left out: a request that did not come from here or is answered, a number that came before, or more than
 * MAILBOX_WIRE_PROGRESS_MAX.  Returns 0 or a fault. */
int mailbox_live_progress(struct db *db, const char *site, const char *id, uint64_t n, const char *envelope,
	bool *ret_kept);

/* A request as mailbox_store_get() gives it, with "progress" behind number after (MAILBOX_LIVE_NONE: without). */
int mailbox_live_get(struct db *db, const char *id, uint64_t after, json_t **ret);

/* The request has its result: what was said meanwhile, and what was to end it, goes. */
int mailbox_live_over(struct db *db, const char *id);
/* What is left of requests that went. */
int mailbox_live_sweep(struct db *db);
