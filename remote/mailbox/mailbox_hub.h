/* The hub's side of the mailbox: a module of the hub.  Requests wait in the customer's file until the site has
 * acknowledged them; plans, progress and results come back beside them.  The hub checks signatures only so that it
 * does not store rubbish: the site and the desk check them again and believe nothing of the hub.
 *
 * Whoever floods it fills neither disk nor memory: of one site at most REQUEST_PENDING_MAX requests are on their way, of
 * one engineer REQUEST_PENDING_ENGINEER_MAX of these (429 with Retry-After); what is over goes, oldest first, where a
 * site has too much; a site harms but itself.
 *
 *	GET  /v1/mailbox  POST /v1/results  POST /v1/fleet/requests  GET /v1/fleet/requests[/{}] */
#pragma once

#include "appliance/serve/serve.h"
#include "remote/mailbox/mailbox_wire.h"

extern const struct serve_module mailbox_hub_module;

enum {
	MAILBOX_HUB_KEPT_MAX = 2048,    /* rows of one site; the oldest that are over go first */
	MAILBOX_HUB_BYTES_MAX = 128 * 1024 * 1024, /* and their bytes */
	MAILBOX_HUB_BY_FILE_MAX = 1000, /* answers of one site to requests that the hub never had, in MAILBOX_HUB_KEEP_S */
	MAILBOX_HUB_AHEAD_MAX = 1 << 20, /* by so much may a site be ahead of a file that came out of a backup */
	MAILBOX_HUB_WAITERS_MAX = 8,    /* parked polls of one request */
	MAILBOX_HUB_WAITERS_LOGIN_MAX = 32, /* and of one login */
	MAILBOX_HUB_KEEP_S = 90 * 24 * 3600,
};
