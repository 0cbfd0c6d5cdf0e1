/* `mainstay telemetry preview`: one round in this process, shown as it would leave. */
#pragma once

struct command_call;

int telemetry_preview_run(struct command_call *call);
