/* A shim that systemd starts, as the unit mainstay-service-NAME.service: what a supervisor would have arranged. */
#pragma once

#include <stdbool.h>

struct paths;

/* Begun as root with a parcel (parcel.h) as stdin, or with the one that an earlier shim of this unit gave PID 1 to keep: lay
 * spec, secrets and the control group's counts out from descriptor 3 on, as supervise_wire.h says, and become the user of
 * service, for good.  First of all, while nothing else is open.  *ret_again: there was an earlier one.  Returns 0, a refusal of parcel_take(), identity_load() or
 * identity_service(), or a fault. */
int shim_unit_begin(const struct paths *paths, const char *service, bool *ret_again);
