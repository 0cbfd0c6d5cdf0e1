#include "appliance/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum {
	TMP_NAME_MAX = 32,
	REMOVE_DEPTH_MAX = 64, /* each level of a removal holds a descriptor */
	SYNC_EACH_MAX = 16,    /* of more files a sync of all is quicker, on a busy disk, too */
};

static void
tmp_name(char out[TMP_NAME_MAX])
{
	uint64_t n;

	fs_random(&n, sizeof(n));
	(void)snprintf(out, TMP_NAME_MAX, FS_PASSING "%016" PRIx64, n);
}

int
fs_write_all(int fd, const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len > 0) {
		ssize_t n = write(fd, b, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			return FAULT(-EIO);
		b += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
sync_fd(int fd)
{
	return fsync(fd) < 0 ? FAULT(-errno) : 0;
}

static int
write_tmp(int dir_fd, const char *tmp, const void *p, size_t len, mode_t mode)
{
	SCOPED(scope_close) int fd = -1;
	int r;

	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return FAULT(-errno);
	r = fs_write_all(fd, p, len);
	if (r == 0 && fchmod(fd, mode) < 0) /* the umask has no say in the mode of state */
		r = FAULT(-errno);
	return r ? FAULT(r) : sync_fd(fd);
}

int
fs_replace(int dir_fd, const char *name, const void *p, size_t len, mode_t mode)
{
	char tmp[TMP_NAME_MAX];
	int r;

	if (strchr(name, '/') || !*name)
		return FAULT(-EINVAL);
	tmp_name(tmp);
	r = write_tmp(dir_fd, tmp, p, len, mode);
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		r = FAULT(-errno);
	if (r < 0) {
		(void)unlinkat(dir_fd, tmp, 0); /* the old file still stands */
		return FAULT(r);
	}
	return fs_sync_dir(dir_fd);
}

int
fs_read_fd(int fd, size_t max, struct buf *out)
{
	struct stat st;
	off_t at = 0;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode))
		return REASON_MALFORMED;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return REASON_TOO_LARGE;
	for (;;) {
		/* One byte more than allowed is asked for, so that a file that grows is noticed. */
		size_t left = max - (size_t)at, want = left < 65536 ? left + 1 : 65536;
		uint8_t room[4096];
		ssize_t n;

		n = pread(fd, room, want < sizeof(room) ? want : sizeof(room), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			return buf_error(out);
		if ((size_t)n > left)
			return REASON_TOO_LARGE;
		buf_put(out, room, (size_t)n);
		if (buf_error(out))
			return buf_error(out) == -EMSGSIZE ? REASON_TOO_LARGE : buf_error(out);
		at += n;
	}
}

int
fs_replace_path(const char *path, const void *p, size_t len, mode_t mode)
{
	SCOPED(scope_free) char *folder = strdup(path);
	SCOPED(scope_close) int dir = -1;
	char *slash;

	if (!folder)
		return FAULT(-ENOMEM);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder ? 1 : 0] = '\0';
	dir = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return FAULT(-errno);
	return fs_replace(dir, slash ? strrchr(path, '/') + 1 : path, p, len, mode);
}

int
fs_read(int dir_fd, const char *name, size_t max, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;

	/* O_NONBLOCK: a fifo put in a file's place must not hold us. */
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return REASON_NOT_FOUND;
	if (fd < 0 && (errno == ELOOP || errno == ENXIO))
		return REASON_MALFORMED;
	if (fd < 0)
		return FAULT(-errno);
	return fs_read_fd(fd, max, out);
}

/* parent may be open for passing only. */
static int
sync_parent(int parent)
{
	SCOPED(scope_close) int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? FAULT(-errno) : fs_sync_dir(fd);
}

/* Make parent/name and open it; -1 in *ret_fd where somebody else just made it.  Its mode is set by
 * descriptor: where others may write to parent, the name may lead elsewhere by then. */
static int
make(int *ret_fd, int parent, const char *name, mode_t mode)
{
	SCOPED(scope_close) int fd = -1;
	int r;

	*ret_fd = -1;
	if (mkdirat(parent, name, 0700) < 0)
		return errno == EEXIST ? 0 : FAULT(-errno);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 || fchmod(fd, mode) < 0 ? FAULT(-errno) : sync_parent(parent);
	if (r < 0) { /* whoever comes next and finds it would take it for durable, and its mode for what was asked */
		(void)unlinkat(parent, name, AT_REMOVEDIR);
		return r;
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* Step into parent/name, making it where it is missing. */
static int
open_or_make(int *ret_fd, int parent, const char *name, mode_t mode, bool last)
{
	/* On the way only the right to pass is needed: a daemon walks through folders that it may not list. */
	int flags = O_DIRECTORY | O_CLOEXEC | (last ? O_RDONLY | O_NOFOLLOW : O_PATH);
	SCOPED(scope_close) int fd = openat(parent, name, flags);
	int r;

	if (fd < 0 && errno == ENOENT) {
		r = make(&fd, parent, name, mode);
		if (r < 0)
			return r;
		if (fd < 0)
			fd = openat(parent, name, flags);
	}
	if (fd < 0)
		return FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
fs_open_dir(int *ret_fd, int dir_fd, const char *path, mode_t mode)
{
	SCOPED(scope_free) char *copy = strdup(path);
	SCOPED(scope_close) int at = -1;
	char *rest = copy;
	int r;

	if (!copy)
		return FAULT(-ENOMEM);
	at = openat(dir_fd, path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0 && errno == EACCES)
		at = openat(dir_fd, path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return FAULT(-errno);
	while (*(rest += strspn(rest, "/"))) {
		size_t len = strcspn(rest, "/");
		bool last = rest[len + strspn(rest + len, "/")] == '\0';
		char *name = rest;
		int next = -1;

		rest += len;
		if (*rest)
			*rest++ = '\0';
		r = open_or_make(&next, at, name, mode, last);
		if (r < 0)
			return FAULT(r);
		(void)close(at);
		at = next;
	}
	*ret_fd = STEAL_FD(at);
	return 0;
}

int
fs_sync_dir(int dir_fd)
{
	/* An O_PATH descriptor cannot be synced; some file systems know no such thing for folders. */
	if (fsync(dir_fd) < 0 && errno != EINVAL)
		return FAULT(-errno);
	return 0;
}

int
fs_sync_all(int dir_fd, const char *const names[], size_t n)
{
	if (n > SYNC_EACH_MAX)
		return syncfs(dir_fd) < 0 ? FAULT(-errno) : 0;
	for (size_t i = 0; i < n; i++) {
		SCOPED(scope_close) int fd = openat(dir_fd, names[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
			return FAULT(-errno);
	}
	return 0;
}

static int remove_below(int top_fd, int dir_fd, dev_t dev, unsigned depth, bool *again);

static int
remove_entry(int top_fd, int dir_fd, const char *name, dev_t dev, unsigned depth, bool *again)
{
	SCOPED(scope_close) int fd = -1;
	struct stat st;
	int r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return FAULT(-errno);
	if (depth > REMOVE_DEPTH_MAX) {
		char tmp[TMP_NAME_MAX];

		/* Too deep for our descriptors: lift it to the top, where the next round finds it. */
		tmp_name(tmp);
		*again = true;
		return renameat(dir_fd, name, top_fd, tmp) < 0 ? FAULT(-errno) : 0;
	}
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (st.st_dev != dev)
		return FAULT(-EXDEV);
	if (!(st.st_mode & S_IWUSR))
		(void)fchmod(fd, 0700); /* where it fails the unlink below says so */
	r = remove_below(top_fd, fd, dev, depth + 1, again);
	if (r < 0)
		return r;
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? FAULT(-errno) : 0;
}

static int
remove_below(int top_fd, int dir_fd, dev_t dev, unsigned depth, bool *again)
{
	SCOPED(scope_closedir) DIR *d = NULL;
	struct dirent *e;
	int r = fs_entries(&d, dir_fd);

	if (r < 0)
		return r;
	while (errno = 0, (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = remove_entry(top_fd, dir_fd, e->d_name, dev, depth, again);
		if (r < 0)
			return r;
	}
	return errno ? FAULT(-errno) : 0;
}

int
fs_remove_tree(int dir_fd, const char *name)
{
	SCOPED(scope_close) int top = -1;
	struct stat st;
	bool again;
	int r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return FAULT(-errno);
	top = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0 || fstat(top, &st) < 0)
		return FAULT(-errno);
	if (!(st.st_mode & S_IWUSR))
		(void)fchmod(top, 0700);
	do {
		again = false;
		r = remove_below(top, top, st.st_dev, 1, &again);
	} while (r == 0 && again);
	if (r < 0)
		return r;
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? FAULT(-errno) : 0;
}

int
fs_memfd(int *ret_fd, const char *name, const void *p, size_t len)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	SCOPED(scope_close) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return FAULT(-errno);
	r = fs_write_all(fd, p, len);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

void
fs_random(void *p, size_t len)
{
	uint8_t *b = p;

	while (len > 0) {
		ssize_t n = getrandom(b, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort(); /* without random bytes nothing that follows would be safe */
		b += n;
		len -= (size_t)n;
	}
}

int
fs_paths(struct paths *ret, const char *state)
{
	char cwd[sizeof(ret->etc)] = "";
	struct paths p;
	size_t len;

	if (!state) {
		*ret = (struct paths){ "/etc/mainstay", "/var/lib/mainstay", "/run/mainstay" };
		return 0;
	}
	if (!*state)
		return REFUSE(REASON_USAGE, "--state", "the folder's name is empty");
	if (state[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return REFUSE(REASON_USAGE, state, "the present folder has no usable name");
	len = strlen(state);
	while (len > 1 && state[len - 1] == '/')
		len--;
	if (strlen(cwd) + len + sizeof("//etc") > sizeof(p.etc))
		return REFUSE(REASON_USAGE, state, "the name is too long");
	(void)snprintf(p.etc, sizeof(p.etc), "%s%s%.*s/etc", cwd, *cwd ? "/" : "", (int)len, state);
	(void)snprintf(p.lib, sizeof(p.lib), "%s%s%.*s/lib", cwd, *cwd ? "/" : "", (int)len, state);
	(void)snprintf(p.run, sizeof(p.run), "%s%s%.*s/run", cwd, *cwd ? "/" : "", (int)len, state);
	*ret = p;
	return 0;
}
