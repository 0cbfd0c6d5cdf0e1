/* Knowing processes again, and hearing of their end: the second half of child.h. */
#include "appliance/loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"

enum { STAT_MAX = 4096 };

/* --- knowing processes ----------------------------------------------------------------------------- */
/* Field 3 and field 22 of /proc/PID/stat.  The name in field 2 may hold anything, so counting begins
 * behind its last parenthesis. */
static int
read_stat(pid_t pid, char *ret_state, uint64_t *ret_starttime)
{
	char path[32], text[STAT_MAX];
	SCOPED(scope_close) int fd = -1;
	char *p, *save = NULL;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? REASON_NOT_FOUND : FAULT(-errno);
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return errno == ESRCH ? REASON_NOT_FOUND : FAULT(-errno);
	text[n] = '\0';
	p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return FAULT(-EPROTO);
	p = strtok_r(p + 1, " ", &save);
	*ret_state = p ? p[0] : '?';
	for (int field = 3; p && field < 22; field++)
		p = strtok_r(NULL, " ", &save);
	return number_u64(ret_starttime, p, UINT64_MAX) == 0 ? 0 : FAULT(-EPROTO);
}

int
child_starttime(uint64_t *ret, pid_t pid)
{
	char state;

	return read_stat(pid, &state, ret);
}

bool
child_alive(pid_t pid, uint64_t starttime)
{
	uint64_t now;
	char state;

	return pid > 0 && read_stat(pid, &state, &now) == 0 && now == starttime && state != 'Z' &&
		state != 'X';
}

int
child_adopt(struct child *ret, pid_t pid, uint64_t starttime)
{
	SCOPED(scope_close) int pidfd = -1;

	if (pid <= 0)
		return REASON_NOT_FOUND;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? REASON_NOT_FOUND : FAULT(-errno);
	/* Compared after the descriptor is held: from here on the number cannot be given away. */
	if (!child_alive(pid, starttime))
		return REASON_NOT_FOUND;
	*ret = (struct child){ .pid = pid, .pidfd = STEAL_FD(pidfd), .starttime = starttime };
	return 0;
}

int
child_signal(int pidfd, int sig)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
		return FAULT(-errno);
	return 0;
}

/* --- their end ------------------------------------------------------------------------------------- */
struct child_watch {
	struct child_watch **slot;
	struct loop_watch *watch;
	child_fn *fn;
	void *arg;
	pid_t pid;
	int pidfd; /* the caller's */
};

/* Reap: the status of waitpid(), -1 where it is another's child or still lives. */
static int
reap(int pidfd, bool *ret_ended)
{
	siginfo_t si = { 0 };

	*ret_ended = true;
	if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG) < 0)
		return -1;
	if (si.si_pid == 0) {
		*ret_ended = false;
		return -1;
	}
	if (si.si_code == CLD_EXITED)
		return (si.si_status & 0xff) << 8;
	return (si.si_status & 0x7f) | (si.si_code == CLD_DUMPED ? 0x80 : 0);
}

static void
on_ended(uint32_t revents, void *arg)
{
	struct child_watch *w = arg;
	child_fn *fn = w->fn;
	void *fn_arg = w->arg;
	pid_t pid = w->pid;
	bool ended;
	int status = reap(w->pidfd, &ended);

	(void)revents;
	if (!ended)
		return;
	child_unwatch(w);
	fn(pid, status, fn_arg);
}

int
child_watch(struct child_watch **slot, sd_event *loop, const struct child *child, child_fn *fn,
	void *arg)
{
	struct child_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return FAULT(-ENOMEM);
	*w = (struct child_watch){ .fn = fn, .arg = arg, .pid = child->pid, .pidfd = child->pidfd };
	child_unwatch(*slot);
	r = loop_watch(&w->watch, loop, child->pidfd, EPOLLIN, on_ended, w);
	if (r < 0) {
		free(w);
		return r;
	}
	w->slot = slot;
	*slot = w;
	return 0;
}

struct child_watch *
child_unwatch(struct child_watch *w)
{
	if (!w)
		return NULL;
	*w->slot = NULL;
	loop_unwatch(w->watch);
	free(w);
	return NULL;
}

int
child_wait(const struct child *child, int timeout_ms, int *ret_status)
{
	struct pollfd pfd = { .fd = child->pidfd, .events = POLLIN };
	bool ended;
	int n;

	do
		n = poll(&pfd, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return FAULT(-errno);
	*ret_status = reap(child->pidfd, &ended);
	return ended ? 0 : REASON_BUSY;
}

const char *
child_describe(char *out, size_t size, int status)
{
	if (status < 0)
		(void)snprintf(out, size, "ended");
	else if (WIFEXITED(status))
		(void)snprintf(out, size, "exit %d", WEXITSTATUS(status));
	else
		(void)snprintf(out, size, "signal %d (%s)", WTERMSIG(status),
			sigdescr_np(WTERMSIG(status)) ?: "unknown");
	return out;
}
