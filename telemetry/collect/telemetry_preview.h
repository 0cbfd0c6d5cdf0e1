/* `mainstay telemetry preview`: one round in this process, shown as it would leave. */
#pragma once

struct command_call;
struct config;
struct config_settings;
struct paths;
struct sample_set;

int telemetry_preview_run(struct command_call *call);

/* Ask every source once, in this process, and wait for the answers.  Returns 0 or a fault. */
int telemetry_preview_round(const struct paths *paths, const struct config *config,
	const struct config_settings *settings, struct sample_set *out);
