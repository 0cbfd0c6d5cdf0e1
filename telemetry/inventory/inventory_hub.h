/* What a site is made of, as its records named mainstay.inventory say: the newest of each group and the history of its
 * changes.  Table `inventory` of each customer's file.
 *
 *	GET /v1/fleet/sites/{}/inventory[?group=G]                     {"items":[{group, time, seen, received, body}]}
 *	GET /v1/fleet/sites/{}/inventory?changes=1[&group=][&from=][&to=]   {"items":[{group, time, site_time, path, was?, is?}]},
 *		the newest first: time, from and to are of our clock, when it came; site_time is what the site says
 *
 * A record: event_name mainstay.inventory, attribute group, body a map. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "telemetry/otlp/otlp.h"

enum {
	INVENTORY_HUB_GROUPS_MAX = 64,	       /* of one site */
	INVENTORY_HUB_BODY_MAX = 2 * 1024 * 1024, /* of one group, as JSON */
	INVENTORY_HUB_HISTORY = 200,	       /* states kept of one group; the newest always */
	INVENTORY_HUB_CHANGES_MAX = 2000,      /* in one answer */
};

extern const struct serve_module inventory_hub_module;

bool inventory_hub_is_inventory(const struct otlp_record *record);

/* Take a record inside the caller's transaction on the customer's file; one that says what is known already only says that
 * it is still so.  Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged) where it is rejected; or a fault. */
int inventory_hub_record(struct db *customer, const char *site, const struct otlp_record *record);

/* Append what differs, {group, time, site_time, path, was?, is?} with path "a/b": a member that is new has no was, one that is gone no
 * is.  Lists whose items have a name each are compared by it.  At most max items in all.  Returns 0 or -ENOMEM. */
int inventory_hub_diff(json_t *items, size_t max, const char *group, uint64_t time_us, uint64_t site_us,
	const json_t *was, const json_t *is);
