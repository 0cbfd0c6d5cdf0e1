/* The alert inbox of the hub: log records named mainstay.alert become rows that fire, resolve and are
 * acknowledged.  Table `alerts` of each customer's file.
 *
 *	GET  /v1/fleet/alerts             newest first, of the customers that the login covers
 *	POST /v1/fleet/alerts/{}/ack      by the engineer who signed the request */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "telemetry/otlp/otlp.h"

enum {
	ALERT_INBOX_OPEN_MAX = 1000,      /* firing alerts of one site; more are refused */
	ALERT_INBOX_ROWS_MAX = 20000,     /* of one site, with resolved ones; more are refused until those are swept */
	ALERT_INBOX_KEEP_S = 90 * 24 * 3600, /* resolved ones are swept after this */
};

extern const struct serve_module alert_inbox_module;

/* The record is named mainstay.alert. */
bool alert_inbox_is_alert(const struct otlp_record *record);

/* Take a record inside the caller's transaction on the customer's file.  Other records than mainstay.alert are
 * not ours: 0, nothing stored.  via stands before the service's name, as in store_point(): what another sender
 * says neither fires nor resolves an alert of the site's own.  Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged) where this one record
 * is rejected; or a fault. */
int alert_inbox_record(
	struct db *customer, const char *site, const char *via, const struct otlp_record *record);

/* Transitions stored since start. */
uint64_t alert_inbox_count(void);
