/* `mainstay alert list | mute | unmute | test`: what fires, what is not to be heard, and rules tried against numbers. */
#pragma once

#include "appliance/base/command.h"

/* Ends with a NULL name; for the table of cmd/mainstay.c. */
extern const struct command rules_commands[];
