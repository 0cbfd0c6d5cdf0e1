/* `mainstay-desk metrics`: curves on a terminal, columns or a table elsewhere. */
#pragma once

struct command_call;

/* Run it.  Returns as a command does. */
int metric_commands_run(struct command_call *call);
