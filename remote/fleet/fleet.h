/* What the hub knows of its sites, for engineers; and what sites say of themselves.  A module of the hub.
 *
 *	POST /v1/heartbeat                 the site's signed statement (stream heartbeat)
 *	POST /witness/add-checkpoint       the site's audit head: stored, then cosigned
 *	GET  /v1/login  POST /v1/login     an engineer's SSH signature makes an HTTP key good for 8 hours
 *	GET  /v1/fleet/sites[/{}]  GET /v1/fleet/sites/{}/audit */
#pragma once

#include "appliance/serve/serve.h"

extern const struct serve_module fleet_module;
