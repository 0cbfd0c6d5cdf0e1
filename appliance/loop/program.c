#include "appliance/loop/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

enum {
	READY_FD = 3,
	JOB_FD = 3,
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
	int r;

	if (getenv("NOTIFY_SOCKET")) { /* descriptor 3 is then none that was given to us */
		(void)sd_notify(0, "READY=1");
		return;
	}
	r = fs_write_all(READY_FD, "\n", 1);
	if (r == -EPIPE) {
		log_info("whoever started us is gone: ending");
		(void)raise(SIGTERM);
	} else if (r < 0) {
		log_debug("nobody waits for readiness");
	}
	close(READY_FD);
}

int
program_job(void)
{
	int null_fd;

	if (sd_is_socket(STDIN_FILENO, AF_UNIX, SOCK_SEQPACKET, -1) <= 0)
		return JOB_FD;
	/* Nothing else is open yet, so that 3 is nobody's. */
	if (dup3(STDIN_FILENO, JOB_FD, O_CLOEXEC) < 0)
		return STDIN_FILENO;
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
		(void)close(STDIN_FILENO);
	if (null_fd > STDIN_FILENO)
		(void)close(null_fd);
	return JOB_FD;
}
