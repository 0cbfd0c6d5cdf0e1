/* Runs one operation in its sandbox, with limits, and says how it ended. */
#pragma once

#include "remote/operate/fence.h"
#include "remote/operate/job.h"

/* Run job: blocks until it ended, its time was up, job_sock's peer left, or stop_fd became readable
 * (-1: none).  What it writes goes to job_sock as OUTPUT frames while it runs, together at most
 * job->output bytes; a peer that does not read holds the operation back, but not its limits.  The
 * caller has dropped its ids already.  Returns 0 with *ret; REASON_NO_SANDBOX (logged) where the
 * sandbox could not be built: nothing has run; or a fault.
 * fence: the operation's control group, borrowed; where its n is 0 limits are those of each process. */
int worker_run(const struct operate_job *job, const struct fence *fence, int job_sock, int stop_fd,
	struct operate_result *ret);
