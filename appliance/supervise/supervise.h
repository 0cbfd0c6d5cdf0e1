/* mainstay-supervise where there is no systemd: parent of the daemons, of workers and of one shim
 * per service. */
#pragma once

#include <stdbool.h>

struct paths;

/* Run until SIGTERM (daemons and workers end, shims and services stay) or SIGUSR1 (those end,
 * too).  state is what the daemons get as --state; NULL: the default folders.  Descriptor 3 takes
 * one '\n' once every daemon is ready.  Takes up whatever an earlier supervisor left running.
 * Returns 0 or a fault. */
int supervise_run(const struct paths *paths, const char *state);
