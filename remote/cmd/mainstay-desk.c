/* The engineer's command. */
#include "appliance/base/command.h"
#include "remote/desk/desk.h"

int
main(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay-desk",
		.summary = "support sites: see them, understand them, ask them to act",
		.tables = { desk_commands },
		.options = desk_options,
	};

	return command_main(&program, argc, argv);
}
