/* `mainstay-hubd notify add|list|remove|test`, beside a running hub or before it. */
#pragma once

#include "appliance/base/command.h"

extern const struct command notify_commands[];
