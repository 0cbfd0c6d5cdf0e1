/* `mainstay telemetry export`: the ledgers as files, for an auditor. */
#pragma once

struct command_call;

int telemetry_export_run(struct command_call *call);
