/* mainstay-operate: one operation, whose job comes on descriptor 3.  Started by the supervisor;
 * drops to the job's user, runs it in the sandbox of its profile, tells the result, ends. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/program.h"
#include "appliance/supervise/group_own.h"
#include "remote/operate/job.h"
#include "remote/operate/worker.h"

static int
become(uid_t uid)
{
	if (geteuid() != 0)
		return uid == geteuid()
			? 0
			: REFUSE(REASON_NO_SANDBOX, "operation", "cannot become its user");
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return FAULT(-errno);
	return 0;
}

/* SIGTERM as something to poll for. */
static int
stop_signal(int *ret_fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return FAULT(-errno);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? FAULT(-errno) : 0;
}

static int
run(int job_fd)
{
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED(fence_done) struct fence fence;
	SCOPED(scope_close) int stop = -1;
	struct operate_result result;
	int r;

	/* Before anything else is opened. */
	fence_find(&fence, job_fd + 1);
	(void)signal(SIGPIPE, SIG_IGN);
	r = stop_signal(&stop);
	r = r ?: operate_job_receive(job_fd, &job);
	r = r ?: become(job.uid);
	r = r ?: worker_run(&job, &fence, job_fd, stop, &result);
	if (r == 0)
		return operate_result_send(job_fd, &result);
	if (r > 0)
		(void)operate_refusal_send(job_fd, r); /* where the monitor is gone nobody minds */
	return r;
}

int
main(void)
{
	int job = program_job(), r;

	if (getenv("INVOCATION_ID")) /* systemd's: the group's files, which a supervisor hands over, are for us to open */
		group_own_hand_over(job + 1, GROUP_OWN_ALL);
	log_open("mainstay-operate", LOG_LEVEL_INFO);
	r = run(job);
	if (r < 0)
		log_fault(r, "running an operation");
	return refuse_exit_code(r);
}
