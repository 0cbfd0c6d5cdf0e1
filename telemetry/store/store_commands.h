/* `mainstay-desk metrics`, `logs` and `inventory`: the hub's answers on a terminal.  Registered by the desk's main, after hub_ask_by(). */
#pragma once

#include "appliance/base/command.h"

extern const struct command store_commands[];
