/* To be preloaded (LD_PRELOAD): appends to $CALLS_LOG what the program does to the folder $CALLS_UNDER and all
 * below it, after each call that succeeded.  What a power cut could have left can be had again from a part of it,
 * without a disk of one's own (crashes).  Numbers are inodes; PATH is below the folder, "." the folder itself.
 *
 *	create DIR NAME FILE         remove DIR NAME              rename DIR NAME DIR NAME
 *	folder DIR NAME FOLDER       size FILE LENGTH             link FILE DIR NAME
 *	symlink DIR NAME LINK TARGET                              mode FILE-OR-FOLDER OCTAL
 *	write FILE OFFSET LENGTH, then so many bytes              sync FILE-OR-FOLDER PATH
 *	all FOLDER PATH: all of the file system is synced
 *
 * $CALLS_KILL=N: the program is killed after the N-th of them; with $CALLS_KILL_IN=FOLDER (below $CALLS_UNDER) after the
 * N-th that gives a name in there or takes one.
 *
 * Threads take turns, so that the record has what they did in the order in which they did it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALIAS(name) __attribute__((alias(#name)))

static const char *under;
static int record = -1;
static const char *kill_in;
static unsigned long left; /* calls until it is killed; 0: it is not */

/* The C library's syscall(): ours, below, is what beneath_open() calls. */
#define raw(...) real()(__VA_ARGS__)
typedef long syscall_fn(long number, ...);

static syscall_fn *
real(void)
{
	static syscall_fn *fn;

	if (!fn)
		fn = (syscall_fn *)(uintptr_t)dlsym(RTLD_NEXT, "syscall");
	return fn;
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("CALLS_LOG"), *last = getenv("CALLS_KILL");

	left = last ? strtoul(last, NULL, 10) : 0;
	kill_in = getenv("CALLS_KILL_IN");
	under = getenv("CALLS_UNDER");
	if (path && under)
		record = (int)raw(SYS_openat, AT_FDCWD, path,
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static inline void
pass_turn(int *held)
{
	(void)held;
	(void)pthread_mutex_unlock(&turn);
}

#define TAKE_TURN __attribute__((cleanup(pass_turn), unused)) int turn_is_ours = pthread_mutex_lock(&turn)

/* Half a record would be taken for what happened. */
static void
put(const void *p, size_t len)
{
	if (raw(SYS_write, record, p, len) != (long)len)
		abort();
}

static void
die(void)
{
	if (left && --left == 0)
		(void)kill(getpid(), SIGKILL);
}

static void
count(void)
{
	if (!kill_in)
		die();
}

/* A name in this folder came or went. */
static void
count_name(unsigned long dir)
{
	char path[PATH_MAX];
	struct stat st;

	if (!kill_in || !left)
		return;
	snprintf(path, sizeof(path), "%s/%s", under, kill_in);
	if (stat(path, &st) == 0 && (unsigned long)st.st_ino == dir)
		die();
}

#define SAY(...)                                                                                   \
	do {                                                                                       \
		LINE(__VA_ARGS__);                                                                 \
		count();                                                                           \
	} while (0)

#define LINE(...)                                                                                  \
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
	fd = (int)raw(SYS_openat, dir_fd, parent[0] ? parent : "/",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	ours = fd >= 0 && below(fd, path);
	*ret_dir = fd >= 0 ? inode(fd) : 0;
	if (fd >= 0)
		(void)raw(SYS_close, fd);
	return ours;
}

static void
say_mode(int fd)
{
	char path[PATH_MAX];
	struct stat st;

	if (below(fd, path) && fstat(fd, &st) == 0)
		SAY("mode %lu %o\n", (unsigned long)st.st_ino, (unsigned)st.st_mode & 07777);
}

/* --- names ------------------------------------------------------------------------------------ */
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

	errno = saved;
	fd = (int)raw(SYS_openat, dir_fd, name, flags, mode);
	if (fd < 0 || record < 0 || !(flags & (O_CREAT | O_TRUNC)) || !below(fd, path))
		return fd;
	if (!was && split(dir_fd, name, &dir, &base)) {
		SAY("create %lu %s %lu\n", dir, base, inode(fd));
		say_mode(fd);
	}
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
	r = raw(number, a[0], a[1], a[2], a[3]);
	if (r < 0 || record < 0 || !(how->flags & (O_CREAT | O_TRUNC)) || !below((int)r, path))
		return r;
	if (!was && split((int)a[0], (const char *)a[1], &dir, &base)) {
		SAY("create %lu %s %lu\n", dir, base, inode((int)r));
		say_mode((int)r);
	} else if (how->flags & O_TRUNC) {
		SAY("size %lu 0\n", inode((int)r));
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
	int r = (int)raw(SYS_mkdirat, dir_fd, name, mode);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && split(dir_fd, name, &dir, &base) && fstatat(dir_fd, name, &st, 0) == 0)
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
	int r = (int)raw(SYS_unlinkat, dir_fd, name, flags);
	unsigned long dir;
	const char *base;

	if (r == 0 && split(dir_fd, name, &dir, &base)) {
		SAY("remove %lu %s\n", dir, base);
		count_name(dir);
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
	int r = (int)raw(SYS_renameat2, from_fd, from, to_fd, to, 0);
	unsigned long from_dir, to_dir;
	const char *from_base, *to_base;

	if (r == 0 && split(from_fd, from, &from_dir, &from_base) && split(to_fd, to, &to_dir, &to_base)) {
		SAY("rename %lu %s %lu %s\n", from_dir, from_base, to_dir, to_base);
		count_name(to_dir);
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
	int r = (int)raw(SYS_linkat, from_fd, from, to_fd, to, flags);
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

int
symlinkat(const char *target, int dir_fd, const char *name)
{
	TAKE_TURN;
	int r = (int)raw(SYS_symlinkat, target, dir_fd, name);
	unsigned long dir;
	const char *base;
	struct stat st;

	if (r == 0 && split(dir_fd, name, &dir, &base) && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		SAY("symlink %lu %s %lu %s\n", dir, base, (unsigned long)st.st_ino, target);
	return r;
}

int
fchmod(int fd, mode_t mode)
{
	TAKE_TURN;
	int r = (int)raw(SYS_fchmod, fd, mode);

	if (r == 0)
		say_mode(fd);
	return r;
}

int
fchmodat(int dir_fd, const char *name, mode_t mode, int flags)
{
	TAKE_TURN;
	int fd, r = (int)raw(SYS_fchmodat, dir_fd, name, mode);

	(void)flags; /* AT_SYMLINK_NOFOLLOW alone, and there is none in the place */
	fd = r == 0 ? (int)raw(SYS_openat, dir_fd, name, O_RDONLY | O_CLOEXEC, 0) : -1;
	if (fd >= 0) {
		say_mode(fd);
		(void)raw(SYS_close, fd);
	}
	return r;
}

/* --- bytes ------------------------------------------------------------------------------------ */
static void
wrote(int fd, off_t at, const void *p, ssize_t n)
{
	char path[PATH_MAX];

	if (n <= 0 || !below(fd, path))
		return;
	LINE("write %lu %lld %zd\n", inode(fd), (long long)at, n);
	put(p, (size_t)n);
	count();
}

ssize_t
write(int fd, const void *p, size_t len)
{
	TAKE_TURN;
	ssize_t n = raw(SYS_write, fd, p, len);

	if (record >= 0 && n > 0)
		wrote(fd, lseek(fd, 0, SEEK_CUR) - n, p, n);
	return n;
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	TAKE_TURN;
	ssize_t n = raw(SYS_pwrite64, fd, p, len, at);

	wrote(fd, at, p, n);
	return n;
}
ssize_t pwrite64(int fd, const void *p, size_t len, off_t at) ALIAS(pwrite);

ssize_t
copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
{
	TAKE_TURN;
	off_t at = out_at ? *out_at : lseek(out, 0, SEEK_CUR);
	ssize_t n = raw(SYS_copy_file_range, in, in_at, out, out_at, len, flags);
	char path[PATH_MAX], room[65536];

	for (ssize_t done = 0, got; done < n && below(out, path); done += got) {
		size_t want = (size_t)(n - done) < sizeof(room) ? (size_t)(n - done) : sizeof(room);

		got = pread(out, room, want, at + done); /* opened for reading, too, to be hashed */
		if (got <= 0)
			abort();
		wrote(out, at + done, room, got);
	}
	return n;
}

int
ftruncate(int fd, off_t len)
{
	TAKE_TURN;
	struct stat st;
	bool same = fstat(fd, &st) == 0 && st.st_size == len;
	int r = (int)raw(SYS_ftruncate, fd, len);
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
	TAKE_TURN;
	int r = (int)raw(SYS_fallocate, fd, mode, at, len);
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
	TAKE_TURN;
	int r = (int)raw(SYS_fsync, fd);

	if (r == 0)
		synced(fd);
	return r;
}

int
fdatasync(int fd)
{
	TAKE_TURN;
	int r = (int)raw(SYS_fdatasync, fd);

	if (r == 0)
		synced(fd);
	return r;
}

int
syncfs(int fd)
{
	TAKE_TURN;
	int r = (int)raw(SYS_syncfs, fd);
	char path[PATH_MAX];
	const char *name = r == 0 ? below(fd, path) : NULL;

	if (name)
		SAY("all %lu %s\n", inode(fd), name);
	return r;
}

void
sync(void)
{
	TAKE_TURN;
	(void)raw(SYS_sync);
	if (record >= 0)
		SAY("all 0 .\n");
}
