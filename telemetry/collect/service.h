/* What the host sees of a service from outside: what its shim reports, and what its processes cost. */
#pragma once

#include <stdint.h>

#include "telemetry/collect/process.h"

struct paths;
struct sample_set;

/* Append mainstay_service_up (1 where it runs and its health does not fail) and restarts: cheap, for each probe.  What
 * cannot be read is left out. */
void service_probe(struct sample_set *out, const struct paths *paths, const char *service,
	uint64_t now_us);

/* Append what process_collect() tells of it, as the shim names its first process: once a period. */
void service_collect(struct sample_set *out, const struct paths *paths, const char *service,
	struct process_kept *kept, uint64_t now_us);
