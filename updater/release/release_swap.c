#include "updater/release/release_swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const char next_name[] = "tuf.next", trial_name[] = "tuf.trial";

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
	SCOPED(scope_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
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
	const char *const names[] = { next_name, trial_name };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		if (faccessat(repo_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			r = fs_remove_tree(repo_fd, names[i]);
	return FAULT(r);
}

/* Tried on two folders that are nobody's: a name that is exchanged with itself would tell nothing. */
int
release_swap_able(int repo_fd)
{
	SCOPED(scope_close) int trial_fd = -1;
	int r = 0, why = 0;

	if (mkdirat(repo_fd, trial_name, 0700) < 0)
		return FAULT(-errno);
	trial_fd = openat(repo_fd, trial_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (trial_fd < 0 || mkdirat(trial_fd, "a", 0700) < 0 || mkdirat(trial_fd, "b", 0700) < 0)
		r = FAULT(-errno);
	else if (renameat2(trial_fd, "a", trial_fd, "b", RENAME_EXCHANGE) < 0)
		why = errno;
	r = r ?: release_swap_sweep(repo_fd);
	if (r || !why)
		return r;
	if (why != EINVAL && why != ENOSYS && why != EOPNOTSUPP)
		return FAULT(-why);
	return REFUSE(REASON_CONFLICT, "tuf",
		"its file system cannot exchange two folders in one step, which a new root needs: "
		"publish in a copy on ext4, xfs, btrfs or tmpfs");
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
