/* `mainstay telemetry inventory`: what this host is made of, and what of it the vendor has. */
#pragma once

struct command_call;

int telemetry_inventory_run(struct command_call *call);
