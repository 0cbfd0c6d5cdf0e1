#include "appliance/monitor/ours.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "appliance/monitor/inside.h"

static int
check_owner(const struct monitor *m, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode))
		return REFUSE(REASON_MALFORMED, path, "is no regular file");
	if (st.st_uid != 0 && st.st_uid != m->id.uid[IDENTITY_MONITOR])
		return REFUSE(REASON_WRONG_ROLE, path, "belongs to uid %u", st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return REFUSE(REASON_WRONG_ROLE, path,
			"others may write it (mode %03o); chmod go-w", st.st_mode & 0777);
	return 0;
}

/* Whoever may write a folder above it could have put another file there.  A sticky folder (/tmp) lets nobody replace
 * what is root's. */
static int
check_folder(const struct monitor *m, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (st.st_uid != 0 && st.st_uid != m->id.uid[IDENTITY_MONITOR])
		return REFUSE(REASON_WRONG_ROLE, path, "a folder above it belongs to uid %u",
			st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return REFUSE(REASON_WRONG_ROLE, path,
			"others may write a folder above it (mode %03o); chmod go-w",
			st.st_mode & 0777);
	return 0;
}

/* Walk down from the root, a folder at a time and no link among them, to the one that holds the file. */
static int
open_folder(const struct monitor *m, const char *path, int *ret_fd, const char **ret_name)
{
	SCOPED(scope_close) int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char part[NAME_MAX + 1];
	const char *name = path + 1, *slash;
	int r = at < 0 ? FAULT(-errno) : check_folder(m, at, path);

	for (; r == 0 && (slash = strchr(name, '/')); name = slash + 1) {
		int below;

		if (slash - name > NAME_MAX)
			return REFUSE(REASON_NOT_FOUND, path, "a name in it is too long");
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - name), name);
		if (!part[0] || strcmp(part, "..") == 0)
			return REFUSE(REASON_USAGE, path, "must be a plain absolute path");
		below = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			return REFUSE(REASON_NOT_FOUND, path, "%s: %s", part, strerror(errno));
		scope_close(&at);
		at = below;
		r = check_folder(m, at, path);
	}
	if (r)
		return r;
	*ret_fd = STEAL_FD(at);
	*ret_name = name;
	return 0;
}

int
ours_open(const struct monitor *m, const char *path, int *ret_fd)
{
	SCOPED(scope_close) int dir = -1, fd = -1;
	const char *name = NULL;
	int r;

	if (path[0] != '/')
		return REFUSE(REASON_USAGE, path, "must be an absolute path");
	r = open_folder(m, path, &dir, &name);
	if (r)
		return r;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, path, "%s", strerror(errno));
	r = check_owner(m, fd, path);
	if (r)
		return r;
	*ret_fd = STEAL_FD(fd);
	return 0;
}
