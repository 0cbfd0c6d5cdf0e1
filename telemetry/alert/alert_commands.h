/* `mainstay-desk alerts …`: the engineer's end of the inbox, asked through hub_ask.h (the program's main says how). */
#pragma once

#include "appliance/base/command.h"

extern const struct command alert_commands[];
