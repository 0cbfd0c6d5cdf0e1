#include "appliance/audit/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"

enum { DEPTH_MAX = 12 };

struct walk {
	bool sync;
	walk_fn *fn;
	void *arg;
};

static int walk_dir(const struct walk *w, int fd, const char *name, unsigned depth);

static int
walk_entry(const struct walk *w, int dir_fd, const char *parent, const char *base, unsigned depth)
{
	SCOPED(scope_close) int fd = -1;
	char name[WALK_NAME_MAX];
	struct stat st;

	/* A longer name is none of ours; cut, it still is none. */
	(void)snprintf(name, sizeof(name), "%s%s%s", parent, *parent ? "/" : "", base);
	if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return FAULT(-errno);
	if (!S_ISDIR(st.st_mode) || depth == DEPTH_MAX)
		return w->fn(w->arg, name, dir_fd, base, S_ISREG(st.st_mode));
	fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? FAULT(-errno) : walk_dir(w, fd, name, depth + 1);
}

static int
walk_dir(const struct walk *w, int fd, const char *name, unsigned depth)
{
	SCOPED(scope_closedir) DIR *d = NULL;
	struct dirent *e;
	int r = fs_entries(&d, fd);

	if (r < 0)
		return FAULT(r);
	while (errno = 0, (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = walk_entry(w, fd, name, e->d_name, depth);
		if (r)
			return r;
	}
	if (errno)
		return FAULT(-errno);
	return w->sync ? FAULT(fs_sync_dir(fd)) : 0;
}

int
walk_files(int dir_fd, bool sync, walk_fn *fn, void *arg)
{
	return walk_dir(&(struct walk){ sync, fn, arg }, dir_fd, "", 0);
}
