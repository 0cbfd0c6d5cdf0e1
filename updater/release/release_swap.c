#include "updater/release/release_swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"

static const char next_name[] = "tuf.next";

static void
close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int copy_folder(int from_fd, int to_fd);

static int
copy_entry(int from_fd, int to_fd, const char *name)
{
	SCOPED(scope_close) int below_from = -1, below_to = -1;
	struct stat st;
	int r;

	if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return FAULT(-errno);
	if (!S_ISDIR(st.st_mode))
		return linkat(from_fd, name, to_fd, name, 0) < 0 ? FAULT(-errno) : 0;
	below_from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below_from < 0)
		return FAULT(-errno);
	r = fs_open_dir(&below_to, to_fd, name, 0755);
	return r ? FAULT(r) : copy_folder(below_from, below_to);
}

/* Names are read through a descriptor of its own: the borrowed one keeps its place. */
static int
copy_folder(int from_fd, int to_fd)
{
	int fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	SCOPED(close_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return FAULT(-errno);
	while (!r && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy_entry(from_fd, to_fd, e->d_name);
	return r ?: FAULT(fs_sync_dir(to_fd));
}

int
release_swap_sweep(int repo_fd)
{
	int r = faccessat(repo_fd, next_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? fs_remove_tree(repo_fd, next_name) : 0;

	return FAULT(r);
}

int
release_swap_begin(int *ret_next_fd, int repo_fd, int tuf_fd)
{
	SCOPED(scope_close) int next_fd = -1;
	int r = release_swap_sweep(repo_fd);

	r = r ?: fs_open_dir(&next_fd, repo_fd, next_name, 0755);
	r = r ?: copy_folder(tuf_fd, next_fd);
	if (r)
		return FAULT(r);
	*ret_next_fd = STEAL_FD(next_fd);
	return 0;
}

int
release_swap_finish(int repo_fd)
{
	if (renameat2(repo_fd, next_name, repo_fd, "tuf", RENAME_EXCHANGE) < 0)
		return FAULT(-errno);
	if (fs_sync_dir(repo_fd) < 0)
		return FAULT(-EIO);
	return release_swap_sweep(repo_fd);
}
