/* Ending what a supervisor left behind, without one: for `run --down` where nothing runs any more,
 * and for a run that lost its supervisor while it was ending. */
#pragma once

#include <stdbool.h>

struct paths;

/* End the supervisor of the roster (it ends the others, if it lives), then every daemon and worker
 * that still lives; with services also the shims (which stop their services) and services whose
 * shim is gone.  Blocks until all are gone, killing what does not go.  *ret_ended: how many
 * processes it ended.  Returns 0 or a fault. */
int down_all(const struct paths *paths, bool services, unsigned *ret_ended);

/* Kill the supervisor of the roster, then every daemon and worker: a core that is not to go on, in whatever state it is.
 * Shims and services go on.  Blocks until they are gone.  Returns 0 or a fault. */
int down_kill(const struct paths *paths);
