#include "appliance/monitor/notify_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/confine.h"
#include "appliance/monitor/notify_wire.h"

enum { PROGRAM_FD = 10, SWEEPS_MAX = 2000 };

static int
limit(int resource, rlim_t max)
{
	const struct rlimit l = { max, max };

	return setrlimit(resource, &l) < 0 ? FAULT(-errno) : 0;
}

/* --- the child ----------------------------------------------------------------------------------- */
static _Noreturn void
become(const struct frame *f, const char *name, int job_fd, const sigset_t *mask)
{
	char *const argv[] = { (char *)(uintptr_t)name, NULL }, *const envp[] = { NULL };
	int program;

	/* A script's interpreter opens it again by this number: it must outlive exec. */
	program = fcntl(f->fds[0], F_DUPFD, PROGRAM_FD);
	if (program >= 0 && lseek(f->fds[1], 0, SEEK_SET) == 0 && dup2(f->fds[1], STDIN_FILENO) == 0 &&
		fcntl(job_fd, F_SETFD, FD_CLOEXEC) == 0 && sigprocmask(SIG_SETMASK, mask, NULL) == 0 &&
		prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		(void)fexecve(program, argv, envp);
	_exit(127);
}

/* --- its end ------------------------------------------------------------------------------------- */
/* Wait for its end, without taking it.  REASON_BUSY where the time is over before, REASON_INTERRUPTED where stop_fd can
 * be read (both unlogged). */
static int
await(pid_t pid, uint64_t limit_s, int stop_fd)
{
	SCOPED(scope_close) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t end = clock_mono_us() + limit_s * CLOCK_US_PER_S;
	struct pollfd polls[] = { { .fd = pidfd, .events = POLLIN }, { .fd = stop_fd, .events = POLLIN } };

	if (pidfd < 0)
		return FAULT(-errno);
	for (;;) {
		uint64_t now = clock_mono_us();
		int n = now < end ? poll(polls, 2, (int)((end - now) / 1000) + 1) : 0;

		if (n > 0)
			return polls[0].revents ? 0 : REASON_INTERRUPTED;
		if (n < 0 && errno != EINTR)
			return FAULT(-errno);
		if (clock_mono_us() >= end)
			return REASON_BUSY;
	}
}

/* Field 4 of /proc/PID/stat; the name before it may hold anything. */
static pid_t
parent_of(const char *pid)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	char path[64];
	const char *at;
	int parent;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (fs_read(AT_FDCWD, path, 4096, &b) != 0)
		return -1; /* gone meanwhile */
	at = strrchr(buf_text(&b), ')');
	return at && sscanf(at + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

static int
kill_children(void)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;

	if (!proc)
		return FAULT(-errno);
	while ((e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == getpid())
			(void)kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
	(void)closedir(proc);
	return 0;
}

/* Whose parent ends becomes ours: kill and take our children until there are none. */
static int
sweep(void)
{
	for (unsigned i = 0; i < SWEEPS_MAX; i++) {
		pid_t pid;
		int r = kill_children();

		if (r)
			return r;
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0 && errno == ECHILD)
			return 0;
		(void)poll(NULL, 0, 1); /* they are dying */
	}
	return FAULT(-ETIMEDOUT);
}

/* --- both ---------------------------------------------------------------------------------------- */
static int
run(const struct frame *f, int job_fd, int stop_fd, const sigset_t *mask)
{
	const char *name = frame_text(f, CALL_TAG_TEXT, 4096);
	uint64_t limit_s;
	pid_t pid;
	int r, swept;

	if (f->type != CALL_TYPE_CALL || !name || !frame_u64(f, NOTIFY_WIRE_LIMIT, &limit_s) || limit_s == 0 ||
		limit_s > NOTIFY_RUN_LIMIT_MAX_S || f->n_fds != 2)
		return REFUSE(REASON_MALFORMED, "job", "not of the agreed form");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return FAULT(-errno);
	r = limit(RLIMIT_CPU, NOTIFY_RUN_CPU_S);
	r = r ?: limit(RLIMIT_FSIZE, NOTIFY_RUN_FILE_BYTES);
	r = r ?: confine_enter(CONFINE_DAEMON);
	if (r)
		return r;
	pid = fork();
	if (pid < 0)
		return FAULT(-errno);
	if (pid == 0)
		become(f, name, job_fd, mask);
	r = await(pid, limit_s, stop_fd);
	swept = sweep();
	if (r == REASON_BUSY)
		r = REFUSE(REASON_BUSY, name, "took over %llu s and was ended, with all that it started",
			(unsigned long long)limit_s);
	if (r == REASON_INTERRUPTED)
		r = REFUSE(REASON_INTERRUPTED, name, "was ended with the appliance, with all that it started");
	return r ?: swept;
}

int
notify_run(int job_fd)
{
	SCOPED(frame_done) struct frame f = { 0 };
	SCOPED(scope_close) int stop_fd = -1;
	sigset_t term, mask;
	int r;

	/* The first process of a namespace gets no signal that it does not ask for. */
	if (sigemptyset(&term) < 0 || sigaddset(&term, SIGTERM) < 0 || sigprocmask(SIG_BLOCK, &term, &mask) < 0)
		return FAULT(-errno);
	stop_fd = signalfd(-1, &term, SFD_CLOEXEC);
	if (stop_fd < 0)
		return FAULT(-errno);
	r = frame_recv_wait(job_fd, &f, 0);
	if (r)
		return r < 0 ? FAULT(r) : -EPIPE;
	return run(&f, job_fd, stop_fd, &mask);
}
