/* How `mainstay update apply|rollback` waits for a change of the core: the monitor that was asked ends on the way. */
#pragma once

#include <jansson.h>

#include "appliance/base/command.h"

/* answer: update.apply's or update.rollback's, consumed.  Asks update.status until the change is over, through the time
 * when nobody answers, and says how it ended.  Returns 0; the reason why it went back (relayed); REASON_UNREACHABLE
 * (logged) where nobody answered for too long; or a fault. */
int commands_core_wait(struct command_call *call, json_t *take_answer, const char *kind);
