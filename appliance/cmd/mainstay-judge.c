/* mainstay-judge: parses one thing that came from outside, with nothing at hand but that thing. */
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/confine.h"
#include "appliance/loop/program.h"
#include "appliance/monitor/judge.h"

int
main(void)
{
	int job = program_job(), r;

	log_open("mainstay-judge", LOG_LEVEL_INFO);
	r = confine_dumpable();
	r = r ?: confine_enter(CONFINE_JUDGE);
	r = r ?: judge_serve(job);
	if (r < 0)
		log_fault(r, "mainstay-judge");
	return refuse_exit_code(r);
}
