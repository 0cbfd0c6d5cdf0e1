/* mainstay-release: the release engineer's command. */
#include "appliance/base/command.h"
#include "updater/release/release_commands.h"

int
main(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay-release",
		.summary = "make, sign and publish releases, and say who is an engineer",
		.tables = { release_commands },
	};

	return command_main(&program, argc, argv);
}
