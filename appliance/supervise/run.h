/* `mainstay run`: the command that keeps mainstay-supervise alive. */
#pragma once

#include "appliance/base/command.h"

/* Ends with a NULL name; for the table of cmd/mainstay.c. */
extern const struct command run_commands[];
/* The same for cmd/mainstay-supervise.c, which `mainstay run` becomes. */
extern const struct command run_keep_commands[];
