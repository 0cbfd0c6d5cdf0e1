/* What the host sees of a service from outside: what its shim reports, and what its process costs. */
#pragma once

#include <stdint.h>

struct paths;
struct sample_set;

/* Append mainstay_service_up (1 where it runs and its health does not fail), restarts, memory and CPU time.
 * What cannot be read is left out. */
void service_collect(struct sample_set *out, const struct paths *paths, const char *service,
	uint64_t now_us);
