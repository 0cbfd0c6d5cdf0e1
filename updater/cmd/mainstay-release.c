/* mainstay-release: the release engineer's command. */
#include "appliance/base/command.h"
#include "appliance/loop/confine.h"
#include "updater/release/release_commands.h"

int
main(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay-release",
		.summary = "make, sign and publish releases, and say who is an engineer",
		.tables = RELEASE_COMMANDS_TABLES,
		.options = release_commands_options,
	};
	int r;

	/* It reads private keys: they are not to end in a core file. */
	r = confine_dumpable();
	return r ? command_report(program.name, false, r) : command_main(&program, argc, argv);
}
