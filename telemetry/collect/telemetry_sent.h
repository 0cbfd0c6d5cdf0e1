/* `mainstay telemetry sent`: reads the ledgers of the collector and of the monitor. */
#pragma once

struct command_call;

int telemetry_sent_run(struct command_call *call);
