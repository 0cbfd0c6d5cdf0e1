/* `mainstay replay …`: what an operation wrote, as it wrote it. */
#pragma once

#include "appliance/base/command.h"

/* Ends with a NULL name; for the table of cmd/mainstay.c. */
extern const struct command replay_commands[];
