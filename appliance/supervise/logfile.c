#include "appliance/supervise/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

enum { TAIL_MAX = 1024 };

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
