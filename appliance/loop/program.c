#include "appliance/loop/program.h"

#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

enum {
	READY_FD = 3,
	REFUSALS_A_MINUTE = 300, /* written down: a hostile hub could fill the disk with them */
};

int
program_daemon(const char *name, int argc, char **argv, program_serve_fn *serve)
{
	int r;

	log_open(name, LOG_LEVEL_INFO);
	log_limit_refusals(REFUSALS_A_MINUTE);
	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--state") != 0)) {
		log_error("usage: %s [--state DIR] (started by mainstay-supervise, or by systemd)", name);
		return refuse_exit_code(REASON_USAGE);
	}
	r = serve(argc == 3 ? argv[2] : NULL);
	if (r < 0)
		log_fault(r, name);
	return refuse_exit_code(r);
}

void
program_ready(void)
{
	if (fs_write_all(READY_FD, "\n", 1) < 0)
		log_debug("nobody waits for readiness");
	close(READY_FD);
}
