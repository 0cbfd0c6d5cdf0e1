/* Calls that write, and that make durable. */
#include "tests/fault/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

/* --- bytes ------------------------------------------------------------------------------------ */
static void
wrote(int fd, off_t at, const void *p, ssize_t n)
{
	char path[PATH_MAX];

	if (n <= 0 || !calls_below(fd, path))
		return;
	LINE("write %lu %lld %zd\n", calls_inode(fd), (long long)at, n);
	calls_put(p, (size_t)n);
	calls_count();
}

ssize_t
write(int fd, const void *p, size_t len)
{
	TAKE_TURN;
	ssize_t n = calls_fails_write(fd, &len) ? -1 : raw(SYS_write, fd, p, len);

	if (calls_record >= 0 && n > 0)
		wrote(fd, lseek(fd, 0, SEEK_CUR) - n, p, n);
	return n;
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	TAKE_TURN;
	ssize_t n = calls_fails_write(fd, &len) ? -1 : raw(SYS_pwrite64, fd, p, len, at);

	wrote(fd, at, p, n);
	return n;
}
ssize_t pwrite64(int fd, const void *p, size_t len, off_t at) ALIAS(pwrite);

ssize_t
copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
{
	TAKE_TURN;
	off_t at = out_at ? *out_at : lseek(out, 0, SEEK_CUR);
	ssize_t n = calls_fails_write(out, &len) ? -1 : raw(SYS_copy_file_range, in, in_at, out, out_at, len, flags);
	char path[PATH_MAX], room[65536];

	for (ssize_t done = 0, got; done < n && calls_below(out, path); done += got) {
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
	int r = calls_fails(CALLS_SIZE, fd) ? -1 : (int)raw(SYS_ftruncate, fd, len);
	char path[PATH_MAX];

	if (r == 0 && !same && calls_below(fd, path))
		SAY("size %lu %lld\n", calls_inode(fd), (long long)len);
	return r;
}
int ftruncate64(int fd, off_t len) ALIAS(ftruncate);

/* Of its modes only the plain one changes what is read. */
int
fallocate(int fd, int mode, off_t at, off_t len)
{
	TAKE_TURN;
	int r = calls_fails(CALLS_SIZE, fd) ? -1 : (int)raw(SYS_fallocate, fd, mode, at, len);
	char path[PATH_MAX];
	struct stat st;

	if (r == 0 && mode == 0 && calls_below(fd, path) && fstat(fd, &st) == 0)
		SAY("size %lu %lld\n", calls_inode(fd), (long long)st.st_size);
	return r;
}
int fallocate64(int fd, int mode, off_t at, off_t len) ALIAS(fallocate);

/* --- syncing ---------------------------------------------------------------------------------- */
static void
synced(int fd)
{
	char path[PATH_MAX];
	const char *name = calls_below(fd, path);

	if (name)
		SAY("sync %lu %s\n", calls_inode(fd), name);
}

int
fsync(int fd)
{
	TAKE_TURN;
	int r = calls_fails(CALLS_SYNC, fd) ? -1 : (int)raw(SYS_fsync, fd);

	if (r == 0)
		synced(fd);
	return r;
}

int
fdatasync(int fd)
{
	TAKE_TURN;
	int r = calls_fails(CALLS_SYNC, fd) ? -1 : (int)raw(SYS_fdatasync, fd);

	if (r == 0)
		synced(fd);
	return r;
}

int
syncfs(int fd)
{
	TAKE_TURN;
	int r = calls_fails(CALLS_SYNC, fd) ? -1 : (int)raw(SYS_syncfs, fd);
	char path[PATH_MAX];
	const char *name = r == 0 ? calls_below(fd, path) : NULL;

	if (name)
		SAY("all %lu %s\n", calls_inode(fd), name);
	return r;
}

void
sync(void)
{
	TAKE_TURN;
	(void)raw(SYS_sync);
	if (calls_record >= 0)
		SAY("all 0 .\n");
}
