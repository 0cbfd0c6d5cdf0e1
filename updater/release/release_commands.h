/* The commands of mainstay-release. */
#pragma once

#include "appliance/base/command.h"

extern const struct command release_commands[];
