/* mainstay-supervise [--state DIR] [--shim | --shim-again]: started by `mainstay run`; the shims
 * are itself.  And so is what starts it: `mainstay run` becomes "mainstay-supervise run ...". */
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/supervise/run.h"
#include "appliance/supervise/shim.h"
#include "appliance/supervise/supervise.h"

static int
keep(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay",
		.summary = "run this site's managed services",
		.tables = { run_keep_commands },
		.needs_state = true,
	};

	(void)prctl(PR_SET_NAME, "mainstay");
	return command_main(&program, argc, argv);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "state", required_argument, NULL, 's' },
		{ "shim", no_argument, NULL, 'n' },
		{ "shim-again", no_argument, NULL, 'a' },
		{ 0 },
	};
	const char *state = NULL;
	struct paths paths;
	char shim = 0;
	int c, r;

	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return keep(argc, argv);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return refuse_exit_code(REASON_USAGE);
		if (c == 's')
			state = optarg;
		else
			shim = (char)c;
	}
	log_open(shim ? "mainstay-shim" : "mainstay-supervise", LOG_LEVEL_INFO);
	if (shim)
		(void)prctl(PR_SET_NAME, "mainstay-shim");
	r = fs_paths(&paths, state);
	if (r == 0)
		r = shim ? shim_run(&paths, shim == 'a') : supervise_run(&paths, state);
	if (r < 0)
		log_fault(r, shim ? "watching the service" : "supervising");
	return refuse_exit_code(r);
}
