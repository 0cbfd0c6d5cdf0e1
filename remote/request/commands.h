/* `mainstay requests …`: the customer's side of one operation. */
#pragma once

#include "appliance/base/command.h"

/* Ends with a NULL name; for the table of cmd/mainstay.c. */
extern const struct command request_commands[];
extern const struct command results_commands[]; /* `mainstay results export` */
