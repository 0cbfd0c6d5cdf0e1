/* `mainstay reveal`, `mainstay telemetry pseudonyms rotate`: what stands behind pseudonyms, and another key for them. */
#pragma once

struct command_call;

int telemetry_names_reveal(struct command_call *call);
int telemetry_names_rotate(struct command_call *call);
