/* mainstay: the customer's command. */
#include "appliance/base/command.h"
#include "appliance/monitor/commands.h"
#include "appliance/supervise/run.h"
#include "remote/recording/replay.h"
#include "remote/request/commands.h"
#include "telemetry/collect/rules_commands.h"
#include "telemetry/collect/telemetry_commands.h"
#include "updater/activate/commands.h"

int
main(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay",
		.summary = "run, watch and govern this site's managed services",
		.tables = { run_commands, commands_site, commands_service, commands_policy,
			request_commands, results_commands, replay_commands, commands_update, telemetry_commands, rules_commands, commands_audit, commands_witness },
		.needs_state = true,
	};

	return command_main(&program, argc, argv);
}
