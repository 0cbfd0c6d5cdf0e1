#include "appliance/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

int
fs_entries(DIR **ret, int dir_fd)
{
	int r, fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return FAULT(-errno);
	*ret = fdopendir(fd);
	if (*ret)
		return 0;
	r = FAULT(-errno);
	(void)close(fd);
	return r;
}

static int
sweep_entry(int dir_fd, const char *name, unsigned depth)
{
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : FAULT(-errno);
	if (S_ISREG(st.st_mode) && strncmp(name, FS_PASSING, strlen(FS_PASSING)) == 0)
		return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? FAULT(-errno) : 0;
	if (!S_ISDIR(st.st_mode) || depth == 0)
		return 0;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? FAULT(-errno) : fs_sweep(fd, depth - 1);
}

int
fs_sweep(int dir_fd, unsigned depth)
{
	SCOPED(scope_closedir) DIR *d = NULL;
	const struct dirent *e;
	int r = fs_entries(&d, dir_fd);

	if (r < 0)
		return r;
	while (errno = 0, (e = readdir(d))) {
		r = sweep_entry(dir_fd, e->d_name, depth);
		if (r < 0)
			return r;
	}
	return errno ? FAULT(-errno) : 0;
}
