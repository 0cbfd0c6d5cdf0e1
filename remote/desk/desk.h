/* `mainstay-desk`: the engineer's command, as tables for cmd/mainstay-desk.c.
 *
 * The desk believes the vendor card (root of TUF, the hub's reply key) and what is signed beneath
 * it: who is an engineer, which releases there are, each site's record.  What the hub says on its
 * own (last contact, metrics, alerts) is shown as the hub's word. */
#pragma once

#include "appliance/base/command.h"

extern const struct command_option desk_options[]; /* --card --key --ca, of every command */
extern const struct command desk_commands[];       /* login accept fleet show run ... */
