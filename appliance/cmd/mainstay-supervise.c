/* mainstay-supervise [--state DIR] [--shim | --shim-again]: started by `mainstay run`; the shims
 * are itself.  And so is what starts it: `mainstay run` becomes "mainstay-supervise run ...".  Under systemd:
 * "mainstay-supervise core" is mainstay-core.service, "dial" mainstay-dial.service, "--shim-unit NAME" each shim. */
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/supervise/core_unit.h"
#include "appliance/supervise/door.h"
#include "appliance/supervise/run.h"
#include "appliance/supervise/shim.h"
#include "appliance/supervise/shim_unit.h"
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

/* A unit's program, of the state where systems keep theirs. */
static int
unit(const char *name, int (*serve)(const struct paths *paths))
{
	struct paths paths;
	int r;

	log_open(name, LOG_LEVEL_INFO);
	(void)prctl(PR_SET_NAME, name);
	r = fs_paths(&paths, NULL);
	r = r ?: serve(&paths);
	if (r < 0)
		log_fault(r, name);
	return refuse_exit_code(r);
}

static int
shim(const struct paths *paths, char how, const char *service)
{
	bool again = how == 'a';
	int r = how == 'u' ? shim_unit_begin(paths, service, &again) : 0;

	return r ?: shim_run(paths, again);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "state", required_argument, NULL, 's' },
		{ "shim", no_argument, NULL, 'n' },
		{ "shim-again", no_argument, NULL, 'a' },
		{ "shim-unit", required_argument, NULL, 'u' },
		{ 0 },
	};
	const char *state = NULL, *service = NULL;
	struct paths paths;
	char how = 0;
	int c, r;

	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return keep(argc, argv);
	if (argc == 2 && strcmp(argv[1], "core") == 0)
		return unit("mainstay-core", core_unit_run);
	if (argc == 2 && strcmp(argv[1], "dial") == 0)
		return unit("mainstay-dial", door_serve);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return refuse_exit_code(REASON_USAGE);
		if (c == 's')
			state = optarg;
		else
			how = (char)c;
		if (c == 'u')
			service = optarg;
	}
	log_open(how ? "mainstay-shim" : "mainstay-supervise", LOG_LEVEL_INFO);
	if (how)
		(void)prctl(PR_SET_NAME, "mainstay-shim");
	r = fs_paths(&paths, state);
	if (r == 0)
		r = how ? shim(&paths, how, service) : supervise_run(&paths, state);
	if (r < 0)
		log_fault(r, how ? "watching the service" : "supervising");
	return refuse_exit_code(r);
}
