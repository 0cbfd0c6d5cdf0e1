/* mainstay-core.service: under systemd what `mainstay run` does elsewhere, but for keeping processes, which PID 1 does. */
#pragma once

struct paths;

/* Make the folders of state, write down who has which uid and what holds on this host, decide which core runs and point
 * run/core to its programs; then ready.  Of a core on trial, wait for its proof: without one it is killed, and this unit,
 * of which the daemons are part, is restarted, which picks again.  Ends at once where there is no trial.
 * Returns 0; a refusal (logged) of identity_plan_units() or pick_core(); or a fault. */
int core_unit_run(const struct paths *paths);
