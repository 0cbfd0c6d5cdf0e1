/* A module of the hub for those who watch it.
 *
 *	GET /healthz   200: the loop turns
 *	GET /readyz    200: the database answers too; else 503
 *	GET /metrics   Prometheus text, or OpenMetrics where Accept likes it, from loopback only */
#pragma once

#include "appliance/serve/serve.h"

extern const struct serve_module hub_health_module;
