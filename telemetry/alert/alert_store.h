/* The rows of the inbox and what changes them, inside the caller's transaction on the customer's file.
 *
 * An alert is a condition (site, service, name, labels of its group); a row is one time of it, from firing to resolved.
 * One that fires for the third time within an hour is flapping: its row opens again and counts, instead of a new one.
 * Each change that somebody may want to hear of leaves a notice (notify_queue.h) in the same transaction. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/db.h"
#include "telemetry/alert/alert_record.h"

extern const struct db_migration alert_store_migration; /* of each customer's file */

enum {
	ALERT_STORE_OPEN_MAX = 1000,      /* firing and muted alerts of one site; more are refused */
	ALERT_STORE_ROWS_MAX = 20000,     /* of one site, with resolved ones; more are refused until those are swept */
	ALERT_STORE_KEEP_S = 90 * 24 * 3600, /* resolved ones are swept after this */
	ALERT_STORE_FLAPS = 3,            /* so many firings ... */
	ALERT_STORE_FLAP_S = 3600,        /* ... in so long are flapping */
	ALERT_STORE_NOTE_MAX = 1000,      /* bytes of an engineer's note */
};

/* Take one.  own: the hub says it itself, and no limit holds.  Returns 0; REASON_TOO_LARGE (logged) where the site has
 * too many (which fires the hub's own alert AlertFlood of that site); or a fault. */
int alert_store_take(struct db *customer, const char *site, const struct alert_record *a, bool own, uint64_t now_us);

/* The row is somebody's now: who was first stands.  note may be NULL.  All three return 0; REASON_NOT_FOUND (unlogged)
 * where there is no such row; or a fault. */
int alert_store_acknowledge(struct db *customer, int64_t id, const char *engineer, const char *note, uint64_t now_us);
int alert_store_release(struct db *customer, int64_t id);
int alert_store_note(struct db *customer, int64_t id, const char *engineer, const char *note, uint64_t now_us);

/* Drop what is over for long; what flapped and has been quiet for ALERT_STORE_FLAP_S is said to be over. */
int alert_store_sweep(struct db *customer, uint64_t now_us);

/* Transitions stored since start. */
uint64_t alert_store_count(void);
