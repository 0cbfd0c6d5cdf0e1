#include "appliance/supervise/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

enum {
	FILE_MAX = 16 * 1024,
	CPU_PERIOD_US = 100 * 1000,
	REMOVE_TRIES = 50,
	REMOVE_WAIT_US = 2000,
	TRY_BYTES = 64 * 1024 * 1024,
	TRY_PROCESSES = 64,
	TRY_CPU_MILLI = 500,
};

static const char *const controllers[GROUP_CONTROLLERS] = { "memory", "pids", "cpu" };

/* --- files ------------------------------------------------------------------------------------ */
static int
put(const char *folder, const char *file, const char *text)
{
	char path[GROUP_PATH_MAX + 64];
	SCOPED(scope_close) int fd = -1;
	size_t len = strlen(text);

	(void)snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		return -errno;
	return 0;
}

static int
put_number(const char *folder, const char *file, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	return put(folder, file, text);
}

/* Up to size - 1 bytes, NUL-terminated; "" where it cannot be read. */
static void
get(const char *folder, const char *file, char *out, size_t size)
{
	char path[GROUP_PATH_MAX + 64];
	SCOPED(scope_close) int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
}

static bool
has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || p[-1] == ' ' || p[-1] == ',') &&
			(p[len] == '\0' || strchr(" ,\n", p[len])))
			return true;
	return false;
}

/* --- limits ----------------------------------------------------------------------------------- */
static int
limit_unified(const char *folder, const struct group_limits *l)
{
	char cpu[64] = "max";
	int r;

	if (l->cpu_milli)
		(void)snprintf(cpu, sizeof(cpu), "%" PRIu64 " %d",
			l->cpu_milli * CPU_PERIOD_US / 1000, CPU_PERIOD_US);
	r = l->memory ? put_number(folder, "memory.max", l->memory)
		      : put(folder, "memory.max", "max");
	r = r
		?: l->processes ? put_number(folder, "pids.max", l->processes)
				: put(folder, "pids.max", "max");
	return r ?: put(folder, "cpu.max", cpu);
}

static int
limit_each(const char *memory, const char *pids, const char *cpu, const struct group_limits *l)
{
	int r;

	r = l->memory ? put_number(memory, "memory.limit_in_bytes", l->memory)
		      : put(memory, "memory.limit_in_bytes", "-1");
	r = r
		?: l->processes ? put_number(pids, "pids.max", l->processes)
				: put(pids, "pids.max", "max");
	if (r || !l->cpu_milli)
		return r ?: put(cpu, "cpu.cfs_quota_us", "-1");
	r = put_number(cpu, "cpu.cfs_period_us", CPU_PERIOD_US);
	return r ?: put_number(cpu, "cpu.cfs_quota_us", l->cpu_milli * CPU_PERIOD_US / 1000);
}

static int
folders_of(char out[GROUP_CONTROLLERS][GROUP_PATH_MAX], const struct group_root *root,
	const char *service)
{
	for (size_t i = 0; i < root->n; i++)
		if (snprintf(out[i], GROUP_PATH_MAX, "%s/%s", root->paths[i], service) >=
			GROUP_PATH_MAX)
			return -ENAMETOOLONG;
	return 0;
}

static int
limit(char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX], const struct group_root *root,
	const struct group_limits *l)
{
	return root->unified ? limit_unified(folders[0], l)
			     : limit_each(folders[0], folders[1], folders[2], l);
}

/* --- a service's group ------------------------------------------------------------------------ */
void
group_done(struct group *g)
{
	for (size_t i = 0; i < g->n_procs; i++)
		(void)close(g->procs[i]);
	if (g->kills >= 0)
		(void)close(g->kills);
	*g = (struct group){ .kills = -1 };
}

static int
open_in(int *ret_fd, const char *folder, const char *file, int flags)
{
	char path[GROUP_PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, file);
	*ret_fd = open(path, flags | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int
open_group(struct group *ret, const struct group_root *root, const char *service,
	const struct group_limits *limits)
{
	char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX];
	int r = folders_of(folders, root, service);

	for (size_t i = 0; i < root->n && !r; i++) {
		if (mkdir(folders[i], 0755) < 0 && errno != EEXIST)
			r = -errno;
		r = r ?: open_in(&ret->procs[i], folders[i], "cgroup.procs", O_WRONLY);
		ret->n_procs += r == 0;
	}
	if (!r && limits)
		r = limit(folders, root, limits);
	return r
		?: open_in(&ret->kills, folders[0],
			   root->unified ? "memory.events" : "memory.oom_control", O_RDONLY);
}

int
group_open(struct group *ret, const struct group_root *root, const char *service,
	const struct group_limits *limits)
{
	int r;

	*ret = (struct group){ .kills = -1 };
	if (root->n == 0)
		return 0;
	r = open_group(ret, root, service, limits);
	if (r < 0) {
		group_done(ret);
		group_remove(root, service);
	}
	return FAULT(r);
}

static size_t
open_counts(int ret[GROUP_COUNTS], char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX], bool unified)
{
	static const char *const files[2][GROUP_COUNTS] = {
		{ "memory.oom_control", "pids.events", "cpu.stat" },
		{ "memory.events", "pids.events", "cpu.stat" },
	};
	size_t n = 0;

	while (n < GROUP_COUNTS && open_in(&ret[n], folders[unified ? 0 : n], files[unified][n], O_RDONLY) == 0)
		n++;
	if (n == GROUP_COUNTS)
		return n;
	while (n > 0)
		scope_close(&ret[--n]);
	return 0;
}

size_t
group_counts(int ret[GROUP_COUNTS], const struct group_root *root, const char *service)
{
	char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX];

	if (root->n == 0 || folders_of(folders, root, service) < 0)
		return 0;
	return open_counts(ret, folders, root->unified);
}

/* Version 1 has no file that kills all. */
static void
kill_each(const char *folder)
{
	char text[FILE_MAX], *at = text;

	get(folder, "cgroup.procs", text, sizeof(text));
	while (*at) {
		long pid = strtol(at, &at, 10);

		if (pid > 1)
			(void)kill((pid_t)pid, SIGKILL);
		at += strspn(at, "\n");
	}
}

void
group_remove(const struct group_root *root, const char *service)
{
	char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX];

	if (folders_of(folders, root, service) < 0)
		return;
	for (size_t i = 0; i < root->n; i++) {
		/* What has just ended leaves its group a moment later. */
		for (unsigned n = 0; n < REMOVE_TRIES && rmdir(folders[i]) < 0 && errno == EBUSY;
			n++) {
			if (n == 0 && put(folders[i], "cgroup.kill", "1") < 0)
				kill_each(folders[i]);
			(void)usleep(REMOVE_WAIT_US);
		}
	}
}

void
group_sweep(const struct group_root *root, const char *prefix, group_keep_fn *keep, void *arg)
{
	for (size_t i = 0; i < root->n; i++) {
		DIR *dir = opendir(root->paths[i]);
		const struct dirent *e;

		while (dir && (e = readdir(dir)))
			if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && !keep(e->d_name, arg))
				(void)unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR); /* where something runs it stays */
		if (dir)
			(void)closedir(dir);
	}
}

void
group_root_remove(const struct group_root *root)
{
	for (size_t i = 0; i < root->n; i++)
		(void)rmdir(root->paths[i]); /* what runs on keeps it */
}

uint64_t
group_kills(int fd)
{
	static const char word[] = "oom_kill ";
	char text[1024];
	const char *at;
	ssize_t n;

	n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, word); /* not "oom_kill_disable 0" */
	return at ? strtoull(at + sizeof(word) - 1, NULL, 10) : 0;
}

/* --- where ------------------------------------------------------------------------------------ */
/* Our group in one hierarchy, as a line of /proc/self/cgroup says: "4:memory:/a/b", "0::/a/b". */
static bool
own_path(char *out, size_t size, const char *self, const char *controller)
{
	for (const char *line = self; line && *line; line = strchr(line, '\n')) {
		const char *first, *second;
		char names[128];

		line += *line == '\n';
		first = strchr(line, ':');
		second = first ? strchr(first + 1, ':') : NULL;
		if (!second)
			return false;
		(void)snprintf(names, sizeof(names), "%.*s", (int)(second - first - 1), first + 1);
		if (*controller ? has_word(names, controller) : !*names) {
			(void)snprintf(out, size, "%.*s", (int)strcspn(second + 1, "\n"),
				second + 1);
			return true;
		}
	}
	return false;
}

/* The hierarchy at mount, at our own group where it is seen there, else at its top, as a container may
 * see it: with a folder for this state. */
static int
make_root(char out[GROUP_PATH_MAX], const char *mount, const char *own, const char *state)
{
	char at[GROUP_PATH_MAX], procs[GROUP_PATH_MAX + 16];

	(void)snprintf(at, sizeof(at), "%s%s", mount, strcmp(own, "/") ? own : "");
	if (access(at, F_OK) < 0)
		(void)snprintf(at, sizeof(at), "%s", mount);
	/* Nothing is made in a folder that is no group. */
	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", at);
	if (access(procs, F_OK) < 0)
		return -ENOENT;
	if (snprintf(out, GROUP_PATH_MAX, "%s/mainstay.%s", at, state) >= GROUP_PATH_MAX)
		return -ENAMETOOLONG;
	return mkdir(out, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* A group passes its controllers on only where the one above did. */
static int
find_unified(struct group_root *ret, const char *mount, const char *self, const char *state)
{
	static const char all[] = "+memory +pids +cpu";
	char own[GROUP_PATH_MAX], above[GROUP_PATH_MAX], has[512];
	int r;

	if (!own_path(own, sizeof(own), self, ""))
		return -ENOENT;
	r = make_root(ret->paths[0], mount, own, state);
	if (r)
		return r;
	ret->n = 1;
	(void)snprintf(above, sizeof(above), "%.*s",
		(int)(strrchr(ret->paths[0], '/') - ret->paths[0]), ret->paths[0]);
	(void)put(above, "cgroup.subtree_control",
		all); /* where it could not, the next line tells */
	get(ret->paths[0], "cgroup.controllers", has, sizeof(has));
	for (size_t i = 0; i < GROUP_CONTROLLERS; i++)
		if (!has_word(has, controllers[i]))
			return -ENOENT;
	ret->unified = true;
	return put(ret->paths[0], "cgroup.subtree_control", all);
}

static int
find_each(struct group_root *ret, const char *cgroups, const char *self, const char *state)
{
	char own[GROUP_PATH_MAX], mount[GROUP_PATH_MAX];
	int r;

	for (size_t i = 0; i < GROUP_CONTROLLERS; i++) {
		if (!own_path(own, sizeof(own), self, controllers[i]))
			return -ENOENT;
		(void)snprintf(mount, sizeof(mount), "%s/%s", cgroups, controllers[i]);
		r = make_root(ret->paths[i], mount, own, state);
		if (r)
			return r;
		ret->n++;
	}
	return 0;
}

/* Do limits that are set stand? */
static bool
try_limits(const struct group_root *root)
{
	static const char trial[] = ".trial"; /* no service's name */
	const struct group_limits limits = { TRY_BYTES, TRY_PROCESSES, TRY_CPU_MILLI };
	char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX], text[64];
	struct group g;
	bool holds;

	if (folders_of(folders, root, trial) < 0 || group_open(&g, root, trial, &limits) < 0)
		return false;
	get(folders[0], root->unified ? "memory.max" : "memory.limit_in_bytes", text, sizeof(text));
	holds = strtoull(text, NULL, 10) == TRY_BYTES;
	get(folders[root->unified ? 0 : 1], "pids.max", text, sizeof(text));
	holds = holds && strtoull(text, NULL, 10) == TRY_PROCESSES;
	group_done(&g);
	group_remove(root, trial);
	return holds;
}

/* Not there: what was made for the try goes, too. */
static void
give_up(struct group_root *root)
{
	group_root_remove(root);
	*root = (struct group_root){ 0 };
}

void
group_find(struct group_root *ret, const char *cgroups, const char *self, const char *state)
{
	char hybrid[GROUP_PATH_MAX];

	(void)snprintf(hybrid, sizeof(hybrid), "%s/unified", cgroups);
	*ret = (struct group_root){ 0 };
	if (find_unified(ret, cgroups, self, state) == 0 && try_limits(ret))
		return;
	give_up(ret);
	if (find_unified(ret, hybrid, self, state) == 0 && try_limits(ret))
		return;
	give_up(ret);
	if (find_each(ret, cgroups, self, state) == 0 && try_limits(ret))
		return;
	give_up(ret);
}

/* --- our own ------------------------------------------------------------------------------------ */
size_t
group_own_counts(int ret[GROUP_COUNTS], const char *cgroups, const char *self)
{
	char folders[GROUP_CONTROLLERS][GROUP_PATH_MAX], own[GROUP_PATH_MAX];
	size_t n = 0;

	while (n < GROUP_CONTROLLERS && own_path(own, sizeof(own), self, controllers[n]) &&
		snprintf(folders[n], GROUP_PATH_MAX, "%s/%s%s", cgroups, controllers[n], own) < GROUP_PATH_MAX)
		n++;
	if (n == GROUP_CONTROLLERS)
		return open_counts(ret, folders, false);
	if (!own_path(own, sizeof(own), self, "") ||
		snprintf(folders[0], GROUP_PATH_MAX, "%s%s", cgroups, own) >= GROUP_PATH_MAX)
		return 0;
	return open_counts(ret, folders, true);
}
