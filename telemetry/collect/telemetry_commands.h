/* `mainstay telemetry preview | sent | review | accept`: what leaves, what left, what waits. */
#pragma once

#include "appliance/base/command.h"

/* Ends with a NULL name; for the table of cmd/mainstay.c. */
extern const struct command telemetry_commands[];
