#include "appliance/supervise/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/sandbox.h"

enum { TAIL_MAX = 1024, PID_MAX = 10, STATUS_MAX = 4096 };

int
logfile_open(int *ret_fd, const char *dir, const char *name)
{
	SCOPED(scope_close) int dir_fd = -1;
	char file[NAME_MAX + 1];
	int fd;

	(void)snprintf(file, sizeof(file), "%s.log", name);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return FAULT(-errno);
	fd = openat(dir_fd, file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return FAULT(-errno);
	*ret_fd = fd;
	return 0;
}

/* Is it the first process of a namespace of its own, as services are and bubblewrap is not? */
static bool
is_first(int proc_fd, const char *pid)
{
	SCOPED(scope_close) int fd = -1;
	char path[PID_MAX + sizeof("/status")], text[STATUS_MAX], *line, *end;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/status", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "\nNSpid:");
	end = line ? strchr(line + 1, '\n') : NULL;
	return end && end[-1] == '1' && end[-2] == '\t';
}

/* Whose standard output is that file?  The service, else another, else 0: who has it open otherwise. */
static int
find_writer(long *ret, int log_fd)
{
	struct stat log, st;
	struct dirent *e;
	long found = 0;
	DIR *proc = opendir("/proc");

	if (!proc)
		return FAULT(-errno);
	while (fstat(log_fd, &log) == 0 && (e = readdir(proc))) {
		char path[PID_MAX + sizeof("/fd/1")];
		size_t len = strlen(e->d_name);
		bool first;

		if (len > PID_MAX || strspn(e->d_name, "0123456789") != len)
			continue;
		(void)snprintf(path, sizeof(path), "%s/fd/1", e->d_name);
		if (fstatat(dirfd(proc), path, &st, 0) < 0 || st.st_ino != log.st_ino ||
			st.st_dev != log.st_dev)
			continue;
		first = is_first(dirfd(proc), e->d_name);
		if (first || !found)
			found = strtol(e->d_name, NULL, 10);
		if (first)
			break;
	}
	(void)closedir(proc);
	*ret = found;
	return 0;
}

/* A shim that was killed before it had written down whom it starts left that one waiting at its gate for ever: it is still
 * bubblewrap, the first process of a namespace, and never was a service.  Ended, it lets go of the log. */
static bool
end_unbegun(long pid)
{
	SCOPED(scope_close) int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct child c = { .pidfd = -1 };
	uint64_t since;
	char number[PID_MAX + 1], path[PID_MAX + sizeof("/exe")];
	struct stat is, box;
	bool unbegun, ended;

	if (child_starttime(&since, (pid_t)pid) != 0 || child_adopt(&c, (pid_t)pid, since) != 0)
		return false;
	(void)snprintf(number, sizeof(number), "%ld", pid);
	(void)snprintf(path, sizeof(path), "%s/exe", number);
	unbegun = proc >= 0 && is_first(proc, number) && fstatat(proc, path, &is, 0) == 0 &&
		stat(SANDBOX_PROGRAM, &box) == 0 && is.st_ino == box.st_ino && is.st_dev == box.st_dev;
	ended = unbegun && child_signal(c.pidfd, SIGKILL) == 0;
	(void)close(c.pidfd);
	return ended;
}

int
logfile_claim(int *ret_fd, const char *dir, const char *name)
{
	SCOPED(scope_close) int fd = -1;
	int r = logfile_open(&fd, dir, name);
	long pid;

	if (r)
		return FAULT(r);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*ret_fd = STEAL_FD(fd);
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return FAULT(-errno);
	r = find_writer(&pid, fd);
	if (r < 0)
		return FAULT(r);
	if (pid > 0 && end_unbegun(pid))
		return REFUSE(REASON_BUSY, name, "what waited for a shim that was killed, pid %ld, ends now; then it starts", pid);
	if (pid == 0)
		return REFUSE(REASON_BUSY, name,
			"something has %s/%s.log open since before its state was lost: `fuser -v` tells what; end it, "
			"then `mainstay service start %s`",
			dir, name, name);
	return REFUSE(REASON_BUSY, name,
		"it runs already, as pid %ld, since before its state was lost; end it with `kill %ld`, "
		"then `mainstay service start %s`",
		pid, pid, name);
}

static int
copy(int out, int in, off_t at, off_t size)
{
	while (at < size) {
		ssize_t n = sendfile(out, in, &at, (size_t)(size - at));

		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			break;
	}
	return 0;
}

int
logfile_bound(const char *dir, const char *name, uint64_t max)
{
	SCOPED(scope_close) int dir_fd = -1;
	SCOPED(scope_close) int in = -1;
	SCOPED(scope_close) int out = -1;
	char tmp[NAME_MAX + 1], old[NAME_MAX + 1];
	struct stat st;
	int r;

	r = logfile_open(&in, dir, name);
	if (r)
		return FAULT(r);
	if (fstat(in, &st) < 0)
		return FAULT(-errno);
	if ((uint64_t)st.st_size <= max)
		return 0;
	(void)snprintf(tmp, sizeof(tmp), ".tmp.%s.log", name);
	(void)snprintf(old, sizeof(old), "%s.log.1", name);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return FAULT(-errno);
	/* The folder is the service's: what it put there may be a pipe, at which opening would wait. */
	(void)unlinkat(dir_fd, tmp, 0);
	out = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (out < 0)
		return FAULT(-errno);
	/* And its size may be a hole's: then the end is enough. */
	r = copy(out, in, (uint64_t)st.st_size / 2 > max ? st.st_size - (off_t)max : 0, st.st_size);
	if (r) /* no space: better an old log less than a full disk */
		(void)unlinkat(dir_fd, tmp, 0);
	else if (renameat(dir_fd, tmp, dir_fd, old) < 0)
		r = FAULT(-errno);
	if (ftruncate(in, 0) < 0)
		return FAULT(-errno);
	return r;
}

/* The folder is the service's: what stands there may be a pipe, or lead elsewhere. */
static int
open_to_read(struct stat *ret, const char *dir, const char *name)
{
	SCOPED(scope_close) int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s.log", dir, name) >= (int)sizeof(path))
		return -1;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && fstat(fd, ret) == 0 && S_ISREG(ret->st_mode) ? STEAL_FD(fd) : -1;
}

uint64_t
logfile_size(const char *dir, const char *name)
{
	struct stat st;
	SCOPED(scope_close) int fd = open_to_read(&st, dir, name);

	return fd < 0 ? 0 : (uint64_t)st.st_size;
}

void
logfile_tail(char *out, size_t size, const char *dir, const char *name)
{
	char text[TAIL_MAX];
	const char *p = text, *end;
	struct stat st;
	SCOPED(scope_close) int fd = open_to_read(&st, dir, name);
	size_t want = size / 2 < sizeof(text) ? size / 2 : sizeof(text), used = 0;
	off_t from = fd >= 0 && (uint64_t)st.st_size > want ? st.st_size - (off_t)want : 0;
	ssize_t n = fd < 0 ? 0 : pread(fd, text, want, from);

	out[0] = '\0';
	if (n <= 0)
		return;
	end = text + n;
	if (from > 0 && memchr(p, '\n', (size_t)n)) /* half a line says little */
		p = (const char *)memchr(p, '\n', (size_t)n) + 1;
	while (end > p && end[-1] == '\n')
		end--;
	for (; p < end && used + 4 < size; p++) {
		if (*p == '\n')
			used += (size_t)snprintf(out + used, size - used, " | ");
		else
			out[used++] = *p >= ' ' && *p < 0x7f ? *p : '?';
	}
	out[used] = '\0';
}
