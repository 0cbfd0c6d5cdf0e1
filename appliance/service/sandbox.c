#include "appliance/service/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"

enum { USERS_BYTES_MAX = 1024 };

/* Of each private tmpfs: what is written there is memory. */
#define TMPFS_BYTES "67108864"
#define SHM_BYTES "268435456" /* PostgreSQL's shared memory among processes */

static void
add(struct sandbox *s, const char *arg)
{
	if (s->error)
		return;
	if (s->n == SANDBOX_ARGS_MAX) {
		s->error =
			REFUSE(REASON_TOO_LARGE, "sandbox", "more than %d words", SANDBOX_ARGS_MAX);
		return;
	}
	s->args[s->n] = strdup(arg);
	if (!s->args[s->n])
		s->error = FAULT(-ENOMEM);
	else
		s->n++;
}

static void
add3(struct sandbox *s, const char *a, const char *b, const char *c)
{
	add(s, a);
	add(s, b);
	add(s, c);
}

/* Names at the tree's top that we provide ourselves. */
static bool
is_ours(const char *name)
{
	static const char *const ours[] = { ".", "..", "proc", "dev", "sys", "tmp", "run", "data",
		"conf", "log" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (!strcmp(name, ours[i]))
			return true;
	return false;
}

/* below: the folder of the sandbox that holds it, "" or "/etc". */
static void
add_entry(struct sandbox *s, int tree_fd, const char *tree, const char *below, const char *name)
{
	char src[PATH_MAX], dst[NAME_MAX + 8], target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstatat(tree_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		s->error = FAULT(-errno);
		return;
	}
	(void)snprintf(dst, sizeof(dst), "%s/%s", below, name);
	if (snprintf(src, sizeof(src), "%s/%s", tree, name) >= (int)sizeof(src)) {
		s->error = REFUSE(REASON_TOO_LARGE, tree, "the tree's name is too long");
	} else if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) {
		add3(s, "--ro-bind", src, dst);
	} else if (S_ISLNK(st.st_mode)) {
		n = readlinkat(tree_fd, name, target, sizeof(target) - 1);
		if (n < 0) {
			s->error = FAULT(-errno);
			return;
		}
		target[n] = '\0';
		add3(s, "--symlink", target, dst);
	} else {
		s->error = REFUSE(REASON_UNSAFE_TREE, tree, "%s is no folder, file or link", name);
	}
}

/* Each entry of folder tree, but those that are left to us. */
static void
add_folder(struct sandbox *s, const char *tree, const char *below, bool (*is_left)(const char *))
{
	unsigned n = 0;
	struct dirent *e;
	DIR *d;

	d = opendir(tree);
	if (!d) {
		s->error = errno == ENOENT || errno == ENOTDIR || errno == EACCES
			? REFUSE(REASON_NOT_FOUND, tree, "the release's tree cannot be opened")
			: FAULT(-errno);
		return;
	}
	while (!s->error && (e = readdir(d))) {
		if (is_left(e->d_name))
			continue;
		if (++n > SANDBOX_TOP_MAX)
			s->error = REFUSE(REASON_TOO_LARGE, tree,
				"more than %d entries in one folder", SANDBOX_TOP_MAX);
		else
			add_entry(s, dirfd(d), tree, below, e->d_name);
	}
	(void)closedir(d);
}

static void
add_tmpfs(struct sandbox *s, const char *dst, const char *bytes)
{
	add(s, "--size");
	add(s, bytes);
	add(s, "--tmpfs");
	add(s, dst);
}

void
sandbox_begin(struct sandbox *s, const char *tree, bool network, bool die_with_parent)
{
	static const char *const first[] = { SANDBOX_PROGRAM, "--unshare-user", "--unshare-pid",
		"--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1",
		"--new-session", "--clearenv", "--hostname", "mainstay", "--cap-drop", "ALL" };

	*s = (struct sandbox){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		add(s, first[i]);
	if (!network)
		add(s, "--unshare-net");
	if (die_with_parent)
		add(s, "--die-with-parent");
	if (!s->error)
		add_folder(s, tree, "", is_ours);
	add(s, "--proc");
	add(s, "/proc");
	add(s, "--dev");
	add(s, "/dev");
	add_tmpfs(s, "/dev/shm", SHM_BYTES);
	/* A tmpfs without a bound, which whoever runs inside owns: nothing is made beside the nodes. */
	add(s, "--remount-ro");
	add(s, "/dev");
	add_tmpfs(s, "/tmp", TMPFS_BYTES);
	add3(s, "--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
	add3(s, "--setenv", "LANG", "C.UTF-8");
}

static void
add_number(struct sandbox *s, int n)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", n);
	add(s, number);
}

void
sandbox_bind(struct sandbox *s, const char *src, const char *dst, bool writable)
{
	add3(s, writable ? "--bind" : "--ro-bind", src, dst);
}

void
sandbox_env(struct sandbox *s, const char *assignment)
{
	const char *eq = strchr(assignment, '=');
	char name[256];

	if (s->error)
		return;
	if (!eq || eq == assignment || (size_t)(eq - assignment) >= sizeof(name)) {
		s->error = REFUSE(REASON_MALFORMED, "environment", "an entry is no NAME=value");
		return;
	}
	memcpy(name, assignment, (size_t)(eq - assignment));
	name[eq - assignment] = '\0';
	add3(s, "--setenv", name, eq + 1);
}

static void
add_fd(struct sandbox *s, const char *option, int fd)
{
	add(s, option);
	add_number(s, fd);
}

void
sandbox_secret(struct sandbox *s, int fd, const char *dst)
{
	add3(s, "--perms", "0400", "--ro-bind-data");
	add_number(s, fd);
	add(s, dst);
}

static bool
is_users_file(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "passwd") ||
		!strcmp(name, "group");
}

static bool
has_file(const char *etc, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return snprintf(path, sizeof(path), "%s/%s", etc, name) < (int)sizeof(path) &&
		lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

void
sandbox_users(struct sandbox *s, const char *tree, int passwd_fd, int group_fd)
{
	char etc[PATH_MAX];
	struct stat st;

	(void)snprintf(etc, sizeof(etc), "%s/etc", tree);
	/* Files that are there are covered.  Where they are not, a folder that can be written to for the
	 * moment holds all. */
	if (!has_file(etc, "passwd") || !has_file(etc, "group")) {
		add(s, "--tmpfs");
		add(s, "/etc");
		if (!s->error && lstat(etc, &st) == 0 && S_ISDIR(st.st_mode))
			add_folder(s, etc, "/etc", is_users_file);
	}
	add3(s, "--perms", "0444", "--ro-bind-data");
	add_number(s, passwd_fd);
	add(s, "/etc/passwd");
	add3(s, "--perms", "0444", "--ro-bind-data");
	add_number(s, group_fd);
	add(s, "/etc/group");
	if (!has_file(etc, "passwd") || !has_file(etc, "group")) {
		add(s, "--remount-ro");
		add(s, "/etc");
	}
}

int
sandbox_users_files(int *ret_passwd, int *ret_group, const char *name, unsigned uid)
{
	SCOPED(buf_done)
	struct buf passwd = BUF_MAX(USERS_BYTES_MAX),
		   group = BUF_MAX(USERS_BYTES_MAX);
	SCOPED(scope_close) int passwd_fd = -1;
	int r;

	/* Some programs ask who they are, and PostgreSQL refuses to be nobody. */
	buf_printf(&passwd, "%s:x:%u:%u::/data:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", name,
		uid, uid);
	buf_printf(&group, "%s:x:%u:\nnogroup:x:65534:\n", name, uid);
	r = buf_error(&passwd) ?: buf_error(&group);
	r = r ?: fs_memfd(&passwd_fd, "passwd", passwd.data, passwd.len);
	r = r ?: fs_memfd(ret_group, "group", group.data, group.len);
	if (r)
		return FAULT(r);
	*ret_passwd = STEAL_FD(passwd_fd);
	return 0;
}

void
sandbox_info_fd(struct sandbox *s, int fd)
{
	add_fd(s, "--info-fd", fd);
}

pid_t
sandbox_child_pid(const char *info)
{
	static const char member[] = "\"child-pid\":";
	const char *at = strstr(info, member);
	long pid;

	if (!at || !strchr(at, '}'))
		return 0;
	pid = strtol(at + sizeof(member) - 1, NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

void
sandbox_status_fd(struct sandbox *s, int fd)
{
	add_fd(s, "--json-status-fd", fd);
}

void
sandbox_seccomp_fd(struct sandbox *s, int fd)
{
	add_fd(s, "--seccomp", fd);
}

void
sandbox_block_fd(struct sandbox *s, int fd)
{
	add_fd(s, "--block-fd", fd);
}

/* Both ends of a pipe in one descriptor: whoever waits for the byte holds the writing end too, and sees no end. */
int
sandbox_gate(int *ret_fd)
{
	SCOPED(scope_close) int in = -1;
	SCOPED(scope_close) int out = -1;
	char path[32];
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return FAULT(-errno);
	in = ends[0];
	out = ends[1];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
	*ret_fd = open(path, O_RDWR | O_CLOEXEC);
	return *ret_fd < 0 ? FAULT(-errno) : 0;
}

int
sandbox_go(int gate)
{
	return FAULT(fs_write_all(gate, "g", 1));
}

int
sandbox_end(struct sandbox *s, char *const *argv)
{
	add(s, "--remount-ro");
	add(s, "/");
	add(s, "--");
	for (; *argv; argv++)
		add(s, *argv);
	return s->error;
}

void
sandbox_done(struct sandbox *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->args[i]);
	*s = (struct sandbox){ 0 };
}

/* --- tried ------------------------------------------------------------------------------------ */
bool
sandbox_runs(const struct child_spec *how)
{
	enum { TRY_MS = 10 * 1000 };
	char program[] = "/usr/bin/true", *const nothing[] = { program, NULL };
	SCOPED(scope_close) int exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	struct child_spec spec = *how;
	struct child child;
	int status = -1, r;

	sandbox_begin(&box, "/", false, true);
	if (sandbox_end(&box, nothing) || exe < 0)
		return false;
	spec.exe_fd = exe;
	spec.argv = (const char *const *)box.args;
	if (child_spawn(&child, &spec, NULL))
		return false;
	r = child_wait(&child, TRY_MS, &status);
	if (r) {
		(void)child_signal(child.pidfd, SIGKILL);
		(void)child_wait(&child, -1, &status);
	}
	(void)close(child.pidfd);
	return r == 0 && status == 0;
}
