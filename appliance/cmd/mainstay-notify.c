/* mainstay-notify: runs one of the customer's own programs.  Started by the supervisor as a user without privileges,
 * with an empty environment; the job on descriptor 3 brings the program and what it reads on stdin.  It stays beside the
 * program to end what that leaves behind. */
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/program.h"
#include "appliance/monitor/notify_run.h"

int
main(void)
{
	int job = program_job(), r;

	log_open("mainstay-notify", LOG_LEVEL_INFO);
	r = notify_run(job);
	if (r < 0)
		log_fault(r, "running a program of notify.d");
	return refuse_exit_code(r);
}
