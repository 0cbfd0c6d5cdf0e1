/* What is to be told of alerts, and how far each receiver of notifications has been told: tables `notices`,
 * `notices_held` and `notify_positions` of each customer's file.
 *
 * A change of an alert leaves a notice in the transaction of the change, so none is lost and none invented.  A receiver
 * (notify_target.h) takes notices in their order; its position moves on once it said 2xx: each is told at least once.
 * A site that changes more than NOTIFY_QUEUE_SITE_MAX alerts a minute is told of in one summarising notice for the rest
 * of that minute, so that it delays nobody else's; but the end of what was told to fire is always told. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/db.h"

enum {
	NOTIFY_QUEUE_SITE_MAX = 20,  /* notices of one site a minute; further ones are counted */
	NOTIFY_QUEUE_TAKE_MAX = 100, /* in one message */
	NOTIFY_QUEUE_TRIES_MAX = 24, /* then it is given up and counted as dead */
	NOTIFY_QUEUE_KEEP_S = 3 * 24 * 3600,
	NOTIFY_QUEUE_ACTIVE_MAX = 500, /* firing alerts of one customer that are told again and again */
	NOTIFY_QUEUE_ACTIVE_SITE_MAX = 100, /* of one site */
	NOTIFY_QUEUE_ERROR_MAX = 200,
};

/* For the migration of the room. */
#define NOTIFY_QUEUE_TABLES                                                                                   \
	"CREATE TABLE notices("                                                                               \
	"  id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, alert INTEGER NOT NULL, state TEXT NOT NULL," \
	"  time INTEGER NOT NULL, held INTEGER NOT NULL DEFAULT 0) STRICT;"                                   \
	"CREATE INDEX notices_by_site ON notices(site, time);"                                                \
	"CREATE TABLE notices_held(site TEXT PRIMARY KEY, n INTEGER NOT NULL, due INTEGER NOT NULL) STRICT;"  \
	"CREATE TABLE notify_positions("                                                                      \
	"  target INTEGER PRIMARY KEY, notice INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,"            \
	"  next INTEGER NOT NULL DEFAULT 0, repeated INTEGER NOT NULL DEFAULT 0, told INTEGER NOT NULL DEFAULT 0," \
	"  dead INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '') STRICT;"

#define NOTIFY_QUEUE_BY_ALERT "CREATE INDEX notices_by_alert ON notices(alert, id);"

/* How far a receiver is in one customer's file. */
struct notify_position {
	int64_t notice;       /* the last it was told of */
	int64_t tries;        /* of the next message */
	uint64_t next_us;     /* not before */
	uint64_t repeated_us; /* when active alerts were told last */
	int64_t told, dead;   /* notices */
	char error[NOTIFY_QUEUE_ERROR_MAX];
};

/* Leave a notice, inside the caller's transaction.  state: firing, muted, flapping, resolved. */
int notify_queue_put(struct db *customer, const char *site, int64_t alert, const char *state, uint64_t now_us);

/* Sum up what was held back for a minute, and forget notices that are older than NOTIFY_QUEUE_KEEP_S.  Inside the caller's
 * transaction, every few seconds. */
int notify_queue_sweep(struct db *customer, uint64_t now_us);

/* Where target stands; one that is new here begins, and that is written, with what comes after since_us. */
int notify_queue_position(struct db *customer, int64_t target, uint64_t since_us, struct notify_position *ret);

/* Notices after a position, oldest first, as what notify_form.h reads:
 * {"notice","state","time", and of the alert "id","site","service","name","severity","text","value","labels","since",
 * "firings","acknowledged_by"}; of a summarising one "state":"held" and "held" (how many) instead of an alert.  A
 * notice whose alert is gone is left out.  *ret_last is the last notice that was looked at (0: there is none). */
int notify_queue_take(struct db *customer, const char *name, const struct notify_position *at, json_t *items, int64_t *ret_last);

/* The alerts that fire now, in the same form with "state":"firing", within the two limits above. */
int notify_queue_active(struct db *customer, const char *name, json_t *items);

/* How a message went.  told: the position moves to last, n notices count as told. */
int notify_queue_told(struct db *customer, int64_t target, int64_t last, size_t n);
/* Active alerts were told. */
int notify_queue_repeated(struct db *customer, int64_t target, uint64_t now_us);
/* Try again later; with final, or after NOTIFY_QUEUE_TRIES_MAX, n notices up to last are given up: dead. */
int notify_queue_failed(struct db *customer, int64_t target, const struct notify_position *at, int64_t last, size_t n,
	bool final, const char *error, uint64_t now_us);

/* The target is gone. */
int notify_queue_forget(struct db *customer, int64_t target);
