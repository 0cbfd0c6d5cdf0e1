#include "appliance/supervise/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/supervise/down.h"

enum {
	DOWN_MS = 120 * 1000, /* that the running one may take to stop all services */
	HOLDER_MAX = 64,
};

int
run_lock_open(int *ret_fd, const struct paths *paths)
{
	SCOPED(scope_close) int dir = -1;
	SCOPED(scope_close) int run = -1;
	int r;

	r = fs_open_dir(&run, AT_FDCWD, paths->run, 0711);
	r = r ?: fs_open_dir(&dir, run, "supervise", 0755);
	if (r)
		return FAULT(r);
	*ret_fd = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* Who may read it may lock it, and so keep us from starting for ever. */
	return *ret_fd < 0 || fchmod(*ret_fd, 0600) < 0 ? FAULT(-errno) : 0;
}

int
run_lock_take(int fd)
{
	char text[HOLDER_MAX];
	uint64_t start = 0;
	int n;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? REASON_CONFLICT : FAULT(-errno);
	(void)child_starttime(&start, getpid());
	n = snprintf(text, sizeof(text), "%ld %llu\n", (long)getpid(), (unsigned long long)start);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return FAULT(-errno);
	return 0;
}

/* Who has the lock; REASON_NOT_FOUND (unlogged) where it is just being let go. */
static int
lock_holder(int fd, struct child *ret)
{
	char text[HOLDER_MAX], *space;
	uint64_t pid, start;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return REASON_NOT_FOUND;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	space = strchr(text, ' ');
	if (!space)
		return REASON_NOT_FOUND;
	*space = '\0';
	if (number_u64(&pid, text, INT32_MAX) || number_u64(&start, space + 1, INT64_MAX))
		return REASON_NOT_FOUND;
	return child_adopt(ret, (pid_t)pid, start);
}

int
run_lock_down(struct command_call *call)
{
	SCOPED(scope_close) int lock_fd = -1;
	struct child holder;
	unsigned n = 0;
	int r;

	r = run_lock_open(&lock_fd, &call->paths);
	if (r)
		return FAULT(r);
	r = run_lock_take(lock_fd);
	if (r == REASON_CONFLICT) {
		r = lock_holder(lock_fd, &holder);
		if (r)
			return r < 0 ? FAULT(r)
				     : REFUSE(REASON_BUSY, call->paths.run, "it is just ending");
		r = child_signal(holder.pidfd, SIGUSR1);
		if (r == 0 &&
			poll(&(struct pollfd){ .fd = holder.pidfd, .events = POLLIN }, 1,
				DOWN_MS) != 1)
			r = REFUSE(REASON_BUSY, call->paths.run, "it is still ending");
		(void)close(holder.pidfd);
		if (r == 0)
			command_say(call, "daemons and services have ended");
		return r < 0 ? FAULT(r) : r;
	}
	r = r ?: down_all(&call->paths, true, &n);
	if (r)
		return r < 0 ? FAULT(r) : r;
	command_say(call, n ? "%u processes were left and have ended" : "nothing was running", n);
	return 0;
}
