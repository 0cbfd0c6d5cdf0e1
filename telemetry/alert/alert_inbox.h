/* The alert inbox of the hub, as a module: log records named mainstay.alert become rows that fire, resolve and are
 * acknowledged (alert_store.h), silence becomes one too (dead_man.h), and each change is told (notify_queue.h).
 *
 *	GET  /v1/fleet/alerts             newest first, of the customers that the login covers (alert_page.h)
 *	GET  /v1/fleet/alerts/{}          one, with its past
 *	POST /v1/fleet/alerts/{}/ack      {"note"?}: by the engineer who signed the request; who was first stands
 *	POST /v1/fleet/alerts/{}/unack    {}
 *	POST /v1/fleet/alerts/{}/note     {"note"}
 *
 * All three answer with the alert as it is then; they need the role support. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "telemetry/otlp/otlp.h"

extern const struct serve_module alert_inbox_module;

/* The record is named mainstay.alert. */
bool alert_inbox_is_alert(const struct otlp_record *record);

/* Take a record inside the caller's transaction on the customer's file.  Other records than mainstay.alert are
 * not ours: 0, nothing stored.  via stands before the service's name, as in store_point(): what another sender
 * says neither fires nor resolves an alert of the site's own.  Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged)
 * where this one record is rejected; or a fault. */
int alert_inbox_record(
	struct db *customer, const char *site, const char *via, const struct otlp_record *record);
