#include "appliance/supervise/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/service/identity.h"
#include "appliance/service/process.h"

enum { BOOT_BYTES_MAX = 64 };

enum { GROUP_OWN, GROUP_READERS, GROUP_SHIMS };
enum root { ROOT_ETC, ROOT_LIB, ROOT_RUN };

static const char second_name[] = "/run/mainstay-state";

/* Set-group-ID where files made inside shall be readable by the readers' group. */
static const struct folder {
	enum root root;
	const char *name;
	enum identity_role owner;
	int group;
	mode_t mode;
} folders[] = {
	{ ROOT_ETC, "", IDENTITY_MONITOR, GROUP_OWN, 0755 },
	{ ROOT_ETC, "off", IDENTITY_MONITOR, GROUP_OWN, 0755 },
	{ ROOT_LIB, "", IDENTITY_MONITOR, GROUP_OWN, 0711 },
	{ ROOT_LIB, "monitor", IDENTITY_MONITOR, GROUP_OWN, 0700 },
	{ ROOT_LIB, "audit", IDENTITY_MONITOR, GROUP_OWN, 0700 },
	{ ROOT_LIB, "outbox", IDENTITY_MONITOR, GROUP_READERS, 02750 },
	{ ROOT_LIB, "telemetry", IDENTITY_COLLECTD, GROUP_READERS, 02750 },
	{ ROOT_LIB, "telemetry/spool", IDENTITY_COLLECTD, GROUP_READERS, 02750 },
	{ ROOT_LIB, "incoming", IDENTITY_COURIER, GROUP_OWN, 0700 },
	{ ROOT_LIB, "courier", IDENTITY_COURIER, GROUP_OWN, 0700 },
	{ ROOT_LIB, "store", IDENTITY_MONITOR, GROUP_OWN, 0755 },
	{ ROOT_LIB, "services", IDENTITY_MONITOR, GROUP_OWN, 0711 },
	{ ROOT_RUN, "", IDENTITY_MONITOR, GROUP_OWN, 0755 },
	{ ROOT_RUN, "bus", IDENTITY_MONITOR, GROUP_READERS, 02770 },
	{ ROOT_RUN, "services", IDENTITY_MONITOR, GROUP_OWN, 0711 },
	/* Each shim writes a file of its own there; none can touch another's. */
	{ ROOT_RUN, "shim", IDENTITY_MONITOR, GROUP_SHIMS, 01775 },
	{ ROOT_RUN, "supervise", IDENTITY_MONITOR, GROUP_OWN, 0755 },
	{ ROOT_RUN, "supervise/spec", IDENTITY_MONITOR, GROUP_OWN, 0700 },
};

static const char *
root_path(const struct paths *paths, enum root root)
{
	return root == ROOT_ETC ? paths->etc : root == ROOT_LIB ? paths->lib : paths->run;
}

int
layout_roots(const struct paths *paths)
{
	const enum root roots[] = { ROOT_ETC, ROOT_LIB, ROOT_RUN };

	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		SCOPED(scope_close) int fd = -1;
		int r = fs_open_dir(&fd, AT_FDCWD, root_path(paths, roots[i]), 0711);

		if (r)
			return FAULT(r);
	}
	return 0;
}

static int
make(const struct folder *f, const struct paths *paths, const struct identity *id)
{
	const gid_t gids[] = { [GROUP_OWN] = id->uid[f->owner],
		[GROUP_READERS] = id->readers,
		[GROUP_SHIMS] = id->shims };
	gid_t gid = gids[f->group];
	SCOPED(scope_close) int root = -1;
	SCOPED(scope_close) int fd = -1;
	struct stat st;
	int r;

	r = fs_open_dir(&root, AT_FDCWD, root_path(paths, f->root), 0711);
	r = r ?: fs_open_dir(&fd, root, *f->name ? f->name : ".", 0700);
	if (r)
		return FAULT(r);
	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	/* As an ordinary user everything is ours already, and the group stays what it is. */
	if (geteuid() == 0 && (st.st_uid != id->uid[f->owner] || st.st_gid != gid) &&
		fchown(fd, id->uid[f->owner], gid) < 0)
		return FAULT(-errno);
	if ((st.st_mode & 07777) != f->mode && fchmod(fd, f->mode) < 0)
		return FAULT(-errno);
	return 0;
}

int
layout_make(const struct paths *paths, const struct identity *id)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		int r = make(&folders[i], paths, id);

		if (r)
			return FAULT(r);
	}
	return 0;
}

int
layout_new_boot(const struct paths *paths)
{
	static const char *const stale[] = { "roster", "spec", "enforced" };
	SCOPED(buf_done) struct buf old = BUF_MAX(BOOT_BYTES_MAX);
	SCOPED(scope_close) int run = -1;
	SCOPED(scope_close) int dir = -1;
	char boot[PROCESS_BOOT_ID_MAX];
	int r;

	r = process_boot_id(boot);
	r = r ?: fs_open_dir(&run, AT_FDCWD, paths->run, 0755);
	r = r ?: fs_open_dir(&dir, run, "supervise", 0755);
	if (r)
		return FAULT(r);
	if (fs_read(dir, "boot", BOOT_BYTES_MAX, &old) == 0 && !strcmp(buf_text(&old), boot))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(stale) && !r; i++)
		if (faccessat(dir, stale[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			r = fs_remove_tree(dir, stale[i]);
	if (!r && faccessat(run, "shim", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = fs_remove_tree(run, "shim");
	return FAULT(r ?: fs_replace(dir, "boot", boot, strlen(boot), 0644));
}

/* Can a user who is nobody in particular pass through every folder above path? */
static bool
is_reachable(const char *path)
{
	char part[sizeof(((struct paths *)0)->lib)];
	struct stat st;

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (stat(part, &st) < 0 || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

/* DIR of DIR/lib, where etc, lib and run have one parent. */
static bool
common_parent(const struct paths *paths, char *out, size_t size)
{
	size_t n = strlen(paths->lib);

	if (n < 5 || strcmp(paths->lib + n - 4, "/lib"))
		return false;
	(void)snprintf(out, size, "%.*s", (int)(n - 4), paths->lib);
	n -= 4;
	return !strncmp(paths->etc, out, n) && !strcmp(paths->etc + n, "/etc") &&
		!strncmp(paths->run, out, n) && !strcmp(paths->run + n, "/run");
}

int
layout_reach(struct paths *paths, char *out_state, size_t size)
{
	char dir[sizeof(paths->lib)];
	struct stat st;

	*out_state = '\0';
	if (!common_parent(paths, dir, sizeof(dir)))
		return is_reachable(paths->lib) && is_reachable(paths->run) ? 0
									    : LAYOUT_NOT_REACHABLE;
	/* The folder itself is ours to open; those above it are not. */
	if (stat(dir, &st) < 0 ||
		(!(st.st_mode & S_IXOTH) && chmod(dir, (st.st_mode & 07777) | 0111) < 0))
		return LAYOUT_NOT_REACHABLE;
	if (is_reachable(paths->lib))
		return 0;
	if (mkdir(second_name, 0755) < 0 && errno != EEXIST)
		return LAYOUT_NOT_REACHABLE;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		mount(dir, second_name, NULL, MS_BIND | MS_REC, NULL) < 0)
		return LAYOUT_NOT_REACHABLE;
	(void)snprintf(out_state, size, "%s", second_name);
	return fs_paths(paths, second_name) ? LAYOUT_NOT_REACHABLE : 0;
}
