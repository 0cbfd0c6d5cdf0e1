/* `mainstay-desk logs`: what a site says, and what comes in. */
#pragma once

struct command_call;

/* Run it.  Returns as a command does. */
int log_commands_run(struct command_call *call);
