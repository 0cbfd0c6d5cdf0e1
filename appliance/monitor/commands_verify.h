/* `audit verify`, for commands_audit.c: the log by the monitor, or the folder itself where none answers; a proof; an export;
 * a log that was taken along. */
#pragma once

struct command_call;

/* Says what was verified.  Returns 0; REASON_ALTERED, REASON_THRESHOLD, REASON_UNKNOWN_KEY or what else keeps it from being
 * believed (logged); or a fault.  Blocks while it reads. */
int commands_verify_run(struct command_call *call);
