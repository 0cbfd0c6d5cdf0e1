/* `mainstay telemetry review, accept, refuse`: what waits, and what becomes of it. */
#pragma once

struct command_call;

int telemetry_review_run(struct command_call *call);
int telemetry_review_accept(struct command_call *call);
int telemetry_review_refuse(struct command_call *call);
