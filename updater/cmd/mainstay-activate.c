/* mainstay-activate: one step of a change, as root without network, inside the folders it was handed. */
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/confine.h"
#include "appliance/loop/program.h"
#include "updater/activate/worker.h"

enum { REFUSALS_A_MINUTE = 100 /* a spoilt pack spoils thousands of objects */ };

int
main(void)
{
	int job = program_job(), r;

	log_open("mainstay-activate", LOG_LEVEL_INFO);
	log_limit_refusals(REFUSALS_A_MINUTE);
	r = confine_dumpable();
	r = r ?: confine_enter(CONFINE_NO_INET);
	if (r != 0) {
		if (r < 0)
			log_fault(r, "mainstay-activate");
		return refuse_exit_code(r);
	}
	return worker_main(job);
}
