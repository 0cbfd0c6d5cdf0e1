/* The engineer's command. */
#include "appliance/base/command.h"
#include "appliance/loop/confine.h"
#include "remote/desk/desk.h"
#include "remote/desk/desk_ask.h"
#include "remote/desk/desk_words.h"
#include "telemetry/alert/alert_commands.h"
#include "telemetry/store/hub_ask.h"
#include "telemetry/store/store_commands.h"

int
main(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay-desk",
		.summary = "support sites: see them, understand them, ask them to act",
		.tables = { desk_commands, alert_commands, store_commands },
		.options = desk_options,
		.complete = desk_words_complete,
	};
	static const struct hub_ask ask = { desk_ask_get, desk_ask_post };
	int r;

	hub_ask_by(&ask);
	/* It reads private keys: they are not to end in a core file. */
	r = confine_dumpable();
	return r ? command_report(program.name, false, r) : command_main(&program, argc, argv);
}
