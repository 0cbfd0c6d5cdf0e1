/* Runs one operation in its sandbox, with limits, and says how it ended. */
#pragma once

#include "remote/operate/job.h"

/* Run job: blocks until it ended, its time was up, job_sock's peer left, or stop_fd became readable
 * (-1: none). Its output goes to the two files, together at most job->output bytes.  The caller has
 * dropped its ids already. Returns 0 with *ret; REASON_NO_SANDBOX (logged) where the sandbox could
 * not be built: nothing has run; or a fault. */
int worker_run(const struct operate_job *job, int job_sock, int stop_fd, int stdout_fd,
	int stderr_fd, struct operate_result *ret);
