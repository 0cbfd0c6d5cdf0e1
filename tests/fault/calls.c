/* To be preloaded (LD_PRELOAD): appends to $CALLS_LOG what the program does to the folder $CALLS_UNDER and all
 * below it, after each call that succeeded.  What a power cut could have left can be had again from a part of it,
 * without a disk of one's own (crashes).  Numbers are inodes; PATH is below the folder, "." the folder itself.
 *
 *	create DIR NAME FILE         remove DIR NAME              rename DIR NAME DIR NAME
 *	folder DIR NAME FOLDER       size FILE LENGTH             link FILE DIR NAME
 *	write FILE OFFSET LENGTH, then so many bytes              sync FILE-OR-FOLDER PATH
 *
 * For programs of one thread. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALIAS(name) __attribute__((alias(#name)))

static const char *under;
static int record = -1;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("CALLS_LOG");

	under = getenv("CALLS_UNDER");
	if (path && under)
		record = (int)syscall(SYS_openat, AT_FDCWD, path,
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Half a record would be taken for what happened. */
static void
put(const void *p, size_t len)
{
	if (syscall(SYS_write, record, p, len) != (long)len)
		abort();
}

#define SAY(...)                                                                                   \
	do {                                                                                       \
		char say_line[2 * PATH_MAX];                                                       \
		int say_len = snprintf(say_line, sizeof(say_line), __VA_ARGS__);                   \
		put(say_line, (size_t)say_len);                                                    \
	} while (0)

/* Where fd lies below the folder; NULL where it does not. */
static const char *
below(int fd, char path[PATH_MAX])
{
	size_t len = under ? strlen(under) : 0;
	char link[64];
	ssize_t n;

	if (record < 0)
		return NULL;
	if (fd == AT_FDCWD) {
		if (!getcwd(path, PATH_MAX))
			return NULL;
	} else {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, PATH_MAX - 1);
		if (n < 0)
			return NULL;
		path[n] = '\0';
	}
	if (strncmp(path, under, len) || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len + 1 : ".";
}

static unsigned long
inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (unsigned long)st.st_ino : 0;
}

/* The folder that name lies in and its last part; false where it is not one of ours. */
static bool
split(int dir_fd, const char *name, unsigned long *ret_dir, const char **ret_base)
{
	const char *slash = strrchr(name, '/');
	char path[PATH_MAX], parent[PATH_MAX];
	bool ours;
	int fd;

	if (record < 0)
		return false;
	*ret_base = slash ? slash + 1 : name;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - name) : 1,
		slash ? name : ".");
	fd = (int)syscall(SYS_openat, dir_fd, parent[0] ? parent : "/",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	ours = fd >= 0 && below(fd, path);
	*ret_dir = fd >= 0 ? inode(fd) : 0;
	if (fd >= 0)
		(void)syscall(SYS_close, fd);
	return ours;
}

/* --- names ------------------------------------------------------------------------------------ */
static int
do_open(int dir_fd, const char *name, int flags, mode_t mode)
{
	int saved = errno;
	struct stat st;
	bool was = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	char path[PATH_MAX];
	unsigned long dir;
	const char *base;
	int fd;

	errno = saved;
	fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);
	if (fd < 0 || record < 0 || !(flags & (O_CREAT | O_TRUNC)) || !below(fd, path))
		return fd;
	if (!was && split(dir_fd, name, &dir, &base))
		SAY("create %lu %s %lu\n", dir, base, inode(fd));
	else if (flags & O_TRUNC)
		SAY("size %lu 0\n", inode(fd));
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
	int r = (int)syscall(SYS_mkdirat, dir_fd, name, mode);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && split(dir_fd, name, &dir, &base) && fstatat(dir_fd, name, &st, 0) == 0)
		SAY("folder %lu %s %lu\n", dir, base, (unsigned long)st.st_ino);
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
	int r = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
	unsigned long dir;
	const char *base;

	if (r == 0 && split(dir_fd, name, &dir, &base))
		SAY("remove %lu %s\n", dir, base);
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
	int r = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
	unsigned long from_dir, to_dir;
	const char *from_base, *to_base;

	if (r == 0 && split(from_fd, from, &from_dir, &from_base) &&
		split(to_fd, to, &to_dir, &to_base))
		SAY("rename %lu %s %lu %s\n", from_dir, from_base, to_dir, to_base);
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
	int r = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && split(to_fd, to, &dir, &base) &&
		fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		SAY("link %lu %lu %s\n", (unsigned long)st.st_ino, dir, base);
	return r;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* --- bytes ------------------------------------------------------------------------------------ */
static void
wrote(int fd, off_t at, const void *p, ssize_t n)
{
	char path[PATH_MAX];

	if (n <= 0 || !below(fd, path))
		return;
	SAY("write %lu %lld %zd\n", inode(fd), (long long)at, n);
	put(p, (size_t)n);
}

ssize_t
write(int fd, const void *p, size_t len)
{
	ssize_t n = syscall(SYS_write, fd, p, len);

	if (record >= 0 && n > 0)
		wrote(fd, lseek(fd, 0, SEEK_CUR) - n, p, n);
	return n;
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	ssize_t n = syscall(SYS_pwrite64, fd, p, len, at);

	wrote(fd, at, p, n);
	return n;
}
ssize_t pwrite64(int fd, const void *p, size_t len, off_t at) ALIAS(pwrite);

int
ftruncate(int fd, off_t len)
{
	struct stat st;
	bool same = fstat(fd, &st) == 0 && st.st_size == len;
	int r = (int)syscall(SYS_ftruncate, fd, len);
	char path[PATH_MAX];

	if (r == 0 && !same && below(fd, path))
		SAY("size %lu %lld\n", inode(fd), (long long)len);
	return r;
}
int ftruncate64(int fd, off_t len) ALIAS(ftruncate);

/* Of its modes only the plain one changes what is read. */
int
fallocate(int fd, int mode, off_t at, off_t len)
{
	int r = (int)syscall(SYS_fallocate, fd, mode, at, len);
	char path[PATH_MAX];
	struct stat st;

	if (r == 0 && mode == 0 && below(fd, path) && fstat(fd, &st) == 0)
		SAY("size %lu %lld\n", inode(fd), (long long)st.st_size);
	return r;
}
int fallocate64(int fd, int mode, off_t at, off_t len) ALIAS(fallocate);

/* --- syncing ---------------------------------------------------------------------------------- */
static void
synced(int fd)
{
	char path[PATH_MAX];
	const char *name = below(fd, path);

	if (name)
		SAY("sync %lu %s\n", inode(fd), name);
}

int
fsync(int fd)
{
	int r = (int)syscall(SYS_fsync, fd);

	if (r == 0)
		synced(fd);
	return r;
}

int
fdatasync(int fd)
{
	int r = (int)syscall(SYS_fdatasync, fd);

	if (r == 0)
		synced(fd);
	return r;
}
