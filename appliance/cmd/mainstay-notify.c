/* mainstay-notify: becomes one of the customer's own programs.  Started by the supervisor as a user without
 * privileges, with an empty environment; the job on descriptor 3 brings the program and what it reads on stdin.
 * The socket stays open in the program: that it closes is how the monitor sees the end. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/confine.h"

enum { JOB_FD = 3, PROGRAM_FD = 10, CPU_S = 20, FILE_BYTES = 16 << 20 };

static int
limit(int resource, rlim_t max)
{
	const struct rlimit l = { max, max };

	return setrlimit(resource, &l) < 0 ? FAULT(-errno) : 0;
}

static int
become(const struct frame *f)
{
	const char *name = frame_text(f, CALL_TAG_TEXT, 4096);
	char *const argv[] = { (char *)(uintptr_t)name, NULL }, *const envp[] = { NULL };
	int program;

	if (f->type != CALL_TYPE_CALL || !name || f->n_fds != 2)
		return REFUSE(REASON_MALFORMED, "job", "not of the agreed form");
	/* A script's interpreter opens it again by this number: it must outlive exec. */
	program = fcntl(f->fds[0], F_DUPFD, PROGRAM_FD);
	if (program < 0 || lseek(f->fds[1], 0, SEEK_SET) < 0 || dup2(f->fds[1], STDIN_FILENO) < 0 ||
		fcntl(JOB_FD, F_SETFD, 0) < 0)
		return FAULT(-errno);
	(void)fexecve(program, argv, envp);
	return FAULT(-errno);
}

static int
run(void)
{
	SCOPED(frame_done) struct frame f = { 0 };
	int r = frame_recv_wait(JOB_FD, &f, 0);

	if (r)
		return r < 0 ? FAULT(r) : -EPIPE;
	r = limit(RLIMIT_CPU, CPU_S);
	r = r ?: limit(RLIMIT_FSIZE, FILE_BYTES);
	r = r ?: confine_enter(CONFINE_DAEMON);
	return r ?: become(&f);
}

int
main(void)
{
	int r;

	log_open("mainstay-notify", LOG_LEVEL_INFO);
	r = run();
	if (r < 0)
		log_fault(r, "running a program of notify.d");
	return refuse_exit_code(r);
}
