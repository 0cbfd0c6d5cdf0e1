/* `mainstay metrics`: this site's own numbers, for the customer's Prometheus. */
#pragma once

struct command_call;

int telemetry_metrics_run(struct command_call *call);
