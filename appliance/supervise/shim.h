/* The shim: one small process per service that starts it in its sandbox, watches it, and starts it
 * again.  It holds no secret and runs as the service's user.  Killed, it leaves the service
 * running; started again, it finds it. */
#pragma once

#include <stdbool.h>

struct paths;

/* Run until the service was stopped or given up.  The spec comes on descriptor 3.  again: an
 * earlier shim of this service died; what it recorded holds.  SIGTERM stops the service for good.
 * Returns 0 where the service ended for good (its state file says how), a refusal of spec_decode(),
 * REASON_BUSY where it was given up since it runs already and nobody knows of it, or a fault. */
int shim_run(const struct paths *paths, bool again);
