/* The hub's metric store: tables `series`, `point_batches`, `blocks` and `rollups` of each customer's file.
 *
 * A point is committed with its batch or not at all: the accepted points of a batch are one row of `point_batches`, in the
 * transaction of the batch's number.  They are open then: also in memory (head.h), and seen by every query.  A job builds blocks
 * (block.h) of them and drops their rows in one transaction (build.h).
 *
 *	GET /v1/fleet/sites/{}/metrics     see metric_query.h */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "telemetry/otlp/otlp.h"

struct db;
struct store_batch;

enum {
	STORE_SERIES_MAX = 20000,      /* of one site: more is refused, not stored */
	STORE_LABELS_MAX = 4096,       /* bytes of one series' attributes */
	STORE_KEEP_S = 15 * 24 * 3600, /* points older than this are swept, and not taken any more */
	STORE_BATCH_POINTS_MAX = 2000000, /* of one batch; more are rejected */
	STORE_MINUTE_POINTS_MAX = 60000000, /* of one customer in a minute: what comes beyond is to come again later */
	STORE_MINUTE_SITE_POINTS_MAX = 20000000, /* the same of one site, and of its other senders */
};

#define STORE_VIA_OTLP "otlp:"

extern const struct serve_module store_module;

/* Begin to take points inside the caller's transaction on the customer's file; site comes from the authenticated key, never
 * from a point.  via stands before the service's name: "" for the site's own word, STORE_VIA_OTLP for another sender's, whose
 * series are others and are counted apart.  via and db are borrowed until store_end(), which must follow on 0.
 * Returns 0; REASON_BUSY (logged) where the site or its customer sent too much this minute; or a fault. */
int store_begin(struct store_batch **ret, const char *customer, struct db *db, const char *site, const char *via);

/* Take a point.  At a time that its series has already, it replaces the value.  A histogram is NAME_count, NAME_sum and NAME_bucket
 * with an attribute le, counted upwards; a summary NAME_count, NAME_sum and NAME with an attribute quantile.
 * Returns 0; REASON_MALFORMED, _EXPIRED (older than what is kept) or _TOO_LARGE (logged) where this one point is rejected; or a
 * fault. */
int store_point(struct store_batch *b, const struct otlp_point *point);

/* The same of a number whose attributes were not read (struct otlp_decode_ops): OTLP_DECODE_WHOLE where it is to be. */
int store_number(struct store_batch *b, const struct otlp_point *point);

/* Write what was taken, in the same transaction.  Returns 0 or a fault. */
int store_write(struct store_batch *b);

/* The transaction was committed: queries see the points from now on; or it was not: nothing of it is remembered.  Frees b
 * (NULL is taken). */
void store_end(struct store_batch *b, bool committed);

/* Append the newest value of each series of a site to items: {name, service, attributes, unit, value, time}.  Returns 0 or a
 * fault. */
int store_latest(const char *customer, struct db *db, const char *site, json_t *items);

/* A value as JSON: null where there is none, text where it is infinite, a whole number where it is one. */
json_t *store_value_json(double value);

