/* Calls that give names and take them. */
#include "tests/fault/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/stat.h>

static void
say_mode(int fd)
{
	char path[PATH_MAX];
	struct stat st;

	if (calls_below(fd, path) && fstat(fd, &st) == 0)
		SAY("mode %lu %o\n", (unsigned long)st.st_ino, (unsigned)st.st_mode & 07777);
}

static int
do_open(int dir_fd, const char *name, int flags, mode_t mode)
{
	TAKE_TURN;
	int saved = errno;
	struct stat st;
	bool was = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	char path[PATH_MAX];
	unsigned long dir;
	const char *base;
	int fd;

	if (calls_fails_at(flags & O_CREAT && !was ? CALLS_CREATE : CALLS_OPEN, dir_fd, name))
		return -1;
	errno = saved;
	fd = (int)raw(SYS_openat, dir_fd, name, flags, mode);
	calls_opened(fd);
	if (fd < 0 || calls_record < 0 || !(flags & (O_CREAT | O_TRUNC)) || !calls_below(fd, path))
		return fd;
	if (!was && calls_split(dir_fd, name, &dir, &base)) {
		SAY("create %lu %s %lu\n", dir, base, calls_inode(fd));
		say_mode(fd);
	}
	else if (flags & O_TRUNC)
		SAY("size %lu 0\n", calls_inode(fd));
	return fd;
}

int
openat(int dir_fd, const char *name, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return do_open(dir_fd, name, flags, mode);
}
int openat64(int dir_fd, const char *name, int flags, ...) ALIAS(openat);

int
open(const char *name, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return do_open(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) ALIAS(open);

long
syscall(long number, ...)
{
	TAKE_TURN;
	long a[6];
	va_list args;
	const struct open_how *how;
	char path[PATH_MAX];
	unsigned long dir;
	const char *base;
	struct stat st;
	bool was;
	long r;

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number != SYS_openat2)
		return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	how = (const struct open_how *)a[2];
	was = fstatat((int)a[0], (const char *)a[1], &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (calls_fails_at(how->flags & O_CREAT && !was ? CALLS_CREATE : CALLS_OPEN, (int)a[0], (const char *)a[1]))
		return -1;
	r = raw(number, a[0], a[1], a[2], a[3]);
	calls_opened((int)r);
	if (r < 0 || calls_record < 0 || !(how->flags & (O_CREAT | O_TRUNC)) || !calls_below((int)r, path))
		return r;
	if (!was && calls_split((int)a[0], (const char *)a[1], &dir, &base)) {
		SAY("create %lu %s %lu\n", dir, base, calls_inode((int)r));
		say_mode((int)r);
	} else if (how->flags & O_TRUNC) {
		SAY("size %lu 0\n", calls_inode((int)r));
	}
	return r;
}

/* What the C library's hardened headers call. */
int __openat_2(int dir_fd, const char *name, int flags);
int
__openat_2(int dir_fd, const char *name, int flags)
{
	return do_open(dir_fd, name, flags, 0);
}
int __openat64_2(int dir_fd, const char *name, int flags) ALIAS(__openat_2);
int __open_2(const char *name, int flags);
int
__open_2(const char *name, int flags)
{
	return do_open(AT_FDCWD, name, flags, 0);
}
int __open64_2(const char *name, int flags) ALIAS(__open_2);

int
mkdirat(int dir_fd, const char *name, mode_t mode)
{
	TAKE_TURN;
	int r = calls_fails_at(CALLS_NAME, dir_fd, name) ? -1 : (int)raw(SYS_mkdirat, dir_fd, name, mode);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && calls_split(dir_fd, name, &dir, &base) && fstatat(dir_fd, name, &st, 0) == 0)
		SAY("folder %lu %s %lu\nmode %lu %o\n", dir, base, (unsigned long)st.st_ino, (unsigned long)st.st_ino,
			(unsigned)st.st_mode & 07777);
	return r;
}

int
mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

int
unlinkat(int dir_fd, const char *name, int flags)
{
	TAKE_TURN;
	int r = calls_fails_at(CALLS_REMOVE, dir_fd, name) ? -1 : (int)raw(SYS_unlinkat, dir_fd, name, flags);
	unsigned long dir;
	const char *base;

	if (r == 0 && calls_split(dir_fd, name, &dir, &base)) {
		SAY("remove %lu %s\n", dir, base);
		calls_count_name(dir);
	}
	return r;
}

int
unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int
rmdir(const char *name)
{
	return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	TAKE_TURN;
	int r = calls_fails_at(CALLS_NAME, to_fd, to) ? -1 : (int)raw(SYS_renameat2, from_fd, from, to_fd, to, 0);
	unsigned long from_dir, to_dir;
	const char *from_base, *to_base;

	if (r == 0 && calls_split(from_fd, from, &from_dir, &from_base) && calls_split(to_fd, to, &to_dir, &to_base)) {
		SAY("rename %lu %s %lu %s\n", from_dir, from_base, to_dir, to_base);
		calls_count_name(to_dir);
	}
	return r;
}

int
rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	TAKE_TURN;
	int r = calls_fails_at(CALLS_NAME, to_fd, to) ? -1 : (int)raw(SYS_linkat, from_fd, from, to_fd, to, flags);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && calls_split(to_fd, to, &dir, &base) &&
		fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		SAY("link %lu %lu %s\n", (unsigned long)st.st_ino, dir, base);
	return r;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
symlinkat(const char *target, int dir_fd, const char *name)
{
	TAKE_TURN;
	int r = calls_fails_at(CALLS_NAME, dir_fd, name) ? -1 : (int)raw(SYS_symlinkat, target, dir_fd, name);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && calls_split(dir_fd, name, &dir, &base) && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		SAY("symlink %lu %s %lu %s\n", dir, base, (unsigned long)st.st_ino, target);
	return r;
}

int
fchmod(int fd, mode_t mode)
{
	TAKE_TURN;
	int r = calls_fails(CALLS_MODE, fd) ? -1 : (int)raw(SYS_fchmod, fd, mode);

	if (r == 0)
		say_mode(fd);
	return r;
}

int
fchmodat(int dir_fd, const char *name, mode_t mode, int flags)
{
	TAKE_TURN;
	int fd, r = calls_fails_at(CALLS_MODE, dir_fd, name) ? -1 : (int)raw(SYS_fchmodat, dir_fd, name, mode);

	(void)flags; /* AT_SYMLINK_NOFOLLOW alone, and there is none in the place */
	fd = r == 0 ? (int)raw(SYS_openat, dir_fd, name, O_RDONLY | O_CLOEXEC, 0) : -1;
	if (fd >= 0) {
		say_mode(fd);
		(void)raw(SYS_close, fd);
	}
	return r;
}
