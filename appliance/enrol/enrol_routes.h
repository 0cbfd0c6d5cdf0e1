/* The hub's routes of enrolment: a module of the hub.
 *
 *	POST /v1/enrol                    token and site key, decided by enrol_hub.h in one transaction
 *	GET  /v1/record                   the site record, once an engineer signed it
 *	POST /v1/daemon                   a new courier key, signed by the site key
 *	POST /v1/leave                    a site says goodbye
 *	POST /v1/rotate                   another site key, signed by both (rotate.h)
 *	POST /v1/fleet/sites/{}/record    an engineer accepts the site
 *
 * Table `tokens` of fleet.db. */
#pragma once

#include "appliance/enrol/token.h"
#include "appliance/serve/serve.h"

extern const struct serve_module enrol_routes_module;

/* The core of POST /v1/enrol, also for a request that came as a file: decide and write, in one transaction.
 * *ret_answer is the caller's.  Returns 0, what enrol_hub_read() and enrol_hub_decide() refuse (a site without a token is
 * refused like one with another), what registry_courier_put() refuses, or a fault. */
int enrol_routes_take(struct databases *d, const void *body, size_t len, json_t **ret_answer);

/* Write a token's row; an unused or expired row of the same site is replaced.  Returns 0, REASON_CONFLICT
 * (logged) where the site's token is used and not yet expired, or a fault. */
int enrol_routes_mint(struct db *fleet, const struct token *token, uint64_t now_us);
