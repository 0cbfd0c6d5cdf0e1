/* The hub's metric store: tables `series` and `points` of each customer's file.  A point is committed with
 * its batch or not at all. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "telemetry/otlp/otlp.h"

enum {
	STORE_SERIES_MAX = 20000,      /* of one site: more is refused, not stored */
	STORE_LABELS_MAX = 4096,       /* bytes of one series' attributes */
	STORE_KEEP_S = 7 * 24 * 3600,  /* points older than this are swept */
	STORE_HISTORY = 240,           /* points that a site's page shows of one series */
};

#define STORE_VIA_OTLP "otlp:"

extern const struct serve_module store_module;

/* Store a point inside the caller's transaction on the customer's file; site comes from the authenticated
 * key, never from the point.  A point of a series at a time that is there already replaces its value.
 * via stands before the service's name: "" for the site's own word, STORE_VIA_OTLP for another sender's, whose
 * series are others and are counted apart.
 * Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged) where this one point is rejected; or a fault. */
int store_point(
	struct db *customer, const char *site, const char *via, const struct otlp_point *point);

/* Append the newest value of each series of a site to items: {name, service, attributes, unit, value, time}. */
int store_latest(struct db *customer, const char *site, json_t *items);
/* The last STORE_HISTORY points of the series of this name: [{service, attributes, points:[[time, value]...]}]. */
int store_history(struct db *customer, const char *site, const char *name, json_t *items);
/* Points stored since start. */
uint64_t store_count(void);
