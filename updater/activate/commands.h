/* The updater's commands of `mainstay`: service install, remove, accept; update ... */
#pragma once

#include "appliance/base/command.h"

extern const struct command commands_update[];
