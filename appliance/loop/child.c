#include "appliance/loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/fault.h"

enum {
	HIGH_FD =
		CHILD_DST_MAX + 1, /* where descriptors wait while the low numbers are dealt out */
};

/* The steps of a child's setup, in their order. */
enum step {
	STEP_DESCRIPTORS,
	STEP_SESSION,
	STEP_SCORE,
	STEP_UNSHARE,
	STEP_FOLDER,
	STEP_LIMITS,
	STEP_SETUP,
	STEP_GROUPS,
	STEP_USER,
	STEP_PRIVILEGES,
	STEP_SIGNALS,
	STEP_HOLD,
	STEP_EXEC,
	STEP_MAX
};

static const char *const step_names[STEP_MAX] = {
	[STEP_DESCRIPTORS] = "descriptors",
	[STEP_SESSION] = "session",
	[STEP_SCORE] = "oom score",
	[STEP_UNSHARE] = "unshare",
	[STEP_FOLDER] = "folder",
	[STEP_LIMITS] = "limits",
	[STEP_SETUP] = "setup",
	[STEP_GROUPS] = "setgroups",
	[STEP_USER] = "setuid",
	[STEP_PRIVILEGES] = "no_new_privs",
	[STEP_SIGNALS] = "signals",
	[STEP_HOLD] = "hold",
	[STEP_EXEC] = "exec",
};

/* What the child writes into the pipe where it fails, or (without an error) waits; a pipe moves it whole. */
struct failure {
	int error;
	int step;
};

/* --- in the child: between fork and exec only async-signal-safe calls ------------------------------ */
struct inside {
	const struct child_spec *spec;
	int exe_fd; /* both moved out of the way of the numbers dealt out */
	int report_fd;
	int cwd_fd;
	int go_fd; /* where it waits; -1 */
	pid_t parent;
};

static int
lift(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

static bool
is_given(const struct child_spec *spec, int dst)
{
	for (size_t i = 0; i < spec->n_fds; i++)
		if (spec->fds[i].dst == dst)
			return true;
	return false;
}

static int
deal_descriptors(struct inside *in)
{
	const struct child_spec *spec = in->spec;
	int high[CHILD_FDS_MAX];
	int null_fd;

	in->report_fd = lift(in->report_fd);
	in->exe_fd = lift(in->exe_fd);
	if (in->report_fd < 0 || in->exe_fd < 0)
		return -errno;
	if (in->cwd_fd >= 0 && (in->cwd_fd = lift(in->cwd_fd)) < 0)
		return -errno;
	if (in->go_fd >= 0 && (in->go_fd = lift(in->go_fd)) < 0)
		return -errno;
	for (size_t i = 0; i < spec->n_fds; i++)
		if ((high[i] = lift(spec->fds[i].src)) < 0)
			return -errno;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || (null_fd = lift(null_fd)) < 0)
		return -errno;
	for (int dst = 0; dst <= CHILD_DST_MAX; dst++)
		(void)close(dst);
	for (size_t i = 0; i < spec->n_fds; i++)
		if (dup2(high[i], spec->fds[i].dst) < 0)
			return -errno;
	for (int dst = 0; dst <= STDERR_FILENO; dst++)
		if (!is_given(spec, dst) && dup2(null_fd, dst) < 0)
			return -errno;
	/* Whoever forgot CLOEXEC: nothing above the given ones survives the exec. */
	if (close_range(HIGH_FD, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static int
set_score(int score)
{
	char text[16];
	int fd, len, r = 0;

	if (score == 0)
		return 0;
	len = snprintf(text, sizeof(text), "%d", score);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)len) != len)
		r = -errno;
	(void)close(fd);
	return r;
}

static int
set_limits(const struct child_spec *spec)
{
	const struct rlimit none = { 0, 0 };

	for (size_t i = 0; i < spec->n_limits; i++) {
		const struct child_limit *l = &spec->limits[i];
		const struct rlimit limit = { l->soft, l->hard };

		if (setrlimit((__rlimit_resource_t)l->resource, &limit) < 0)
			return -errno;
	}
	return spec->no_core && setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static int
set_groups(const struct child_spec *spec)
{
	if (spec->uid == CHILD_KEEP_ID && spec->gid == CHILD_KEEP_ID)
		return 0;
	if (setgroups(spec->n_groups, spec->groups) < 0)
		return -errno;
	if (spec->gid != CHILD_KEEP_ID && setresgid(spec->gid, spec->gid, spec->gid) < 0)
		return -errno;
	return 0;
}

static int
set_user(const struct child_spec *spec)
{
	if (spec->uid != CHILD_KEEP_ID && setresuid(spec->uid, spec->uid, spec->uid) < 0)
		return -errno;
	return 0;
}

static int
set_privileges(const struct inside *in)
{
	const struct child_spec *spec = in->spec;

	if (spec->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (spec->parent_death_signal == 0 && !spec->hold)
		return 0;
	/* After the ids: a change of them clears it.  The parent may have died before. */
	if (prctl(PR_SET_PDEATHSIG, spec->hold ? SIGKILL : spec->parent_death_signal, 0, 0, 0) < 0)
		return -errno;
	return getppid() == in->parent ? 0 : -ESRCH;
}

static int
reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* some cannot be set, and need not */
	if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -errno;
	return 0;
}

/* Not the end of the pipe alone tells that the parent has died: another child may hold its other end. */
static int
wait_to_go(const struct inside *in)
{
	const struct failure waits = { 0, STEP_HOLD };
	ssize_t n;
	char c;

	if (!in->spec->hold)
		return 0;
	if (write(in->report_fd, &waits, sizeof(waits)) != sizeof(waits))
		return -EIO;
	do
		n = read(in->go_fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return -ECANCELED;
	return prctl(PR_SET_PDEATHSIG, in->spec->parent_death_signal, 0, 0, 0) < 0 ? -errno : 0;
}

static int
take_step(struct inside *in, enum step step)
{
	const struct child_spec *spec = in->spec;
	static const char *const empty[] = { NULL };

	switch (step) {
	case STEP_DESCRIPTORS:
		return deal_descriptors(in);
	case STEP_SESSION:
		return spec->new_session && setsid() < 0 ? -errno : 0;
	case STEP_SCORE:
		return set_score(spec->oom_score_adj);
	case STEP_UNSHARE:
		return spec->unshare && unshare((int)spec->unshare) < 0 ? -errno : 0;
	case STEP_FOLDER:
		(void)umask(spec->umask);
		return (in->cwd_fd >= 0 ? fchdir(in->cwd_fd) : chdir("/")) < 0 ? -errno : 0;
	case STEP_LIMITS:
		return set_limits(spec);
	case STEP_SETUP:
		return spec->setup ? spec->setup(spec->setup_arg) : 0;
	case STEP_GROUPS:
		return set_groups(spec);
	case STEP_USER:
		return set_user(spec);
	case STEP_PRIVILEGES:
		return set_privileges(in);
	case STEP_SIGNALS:
		return reset_signals();
	case STEP_HOLD:
		return wait_to_go(in);
	case STEP_EXEC:
		/* execveat() takes what it does not change without const. */
		(void)execveat(in->exe_fd, "", (char *const *)(uintptr_t)spec->argv,
			(char *const *)(uintptr_t)(spec->envp ? spec->envp : empty), AT_EMPTY_PATH);
		return -errno;
	case STEP_MAX:
		break;
	}
	return -EINVAL;
}

static _Noreturn void
become(struct inside *in)
{
	for (int step = 0; step < STEP_MAX; step++) {
		int r = take_step(in, (enum step)step);

		if (r < 0) {
			const struct failure failure = { r, step };

			/* If even this fails, the parent sees an end without exec all the same. */
			(void)!write(in->report_fd, &failure, sizeof(failure));
			break;
		}
	}
	_exit(127);
}

/* --- in the parent --------------------------------------------------------------------------------- */
static int
check_spec(const struct child_spec *spec)
{
	if (spec->exe_fd < 0 || !spec->argv || !spec->argv[0] || spec->n_fds > CHILD_FDS_MAX ||
		spec->n_limits > CHILD_LIMITS_MAX || spec->n_groups > CHILD_GROUPS_MAX)
		return FAULT(-EINVAL);
	for (size_t i = 0; i < spec->n_fds; i++)
		if (spec->fds[i].src < 0 || spec->fds[i].dst < 0 ||
			spec->fds[i].dst > CHILD_DST_MAX)
			return FAULT(-EBADF);
	return 0;
}

static int
await_exec(int report_fd, pid_t pid, bool held, const char **ret_step)
{
	struct failure failure = { 0 };
	ssize_t n;

	do
		n = read(report_fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (held ? n == sizeof(failure) && failure.error == 0 : n == 0)
		return 0; /* it waits; closed by the exec */
	(void)waitpid(pid, NULL, 0);
	if (n != sizeof(failure) || failure.step < 0 || failure.step >= STEP_MAX ||
		failure.error >= 0)
		return FAULT(-EIO);
	if (ret_step)
		*ret_step = step_names[failure.step];
	return FAULT(failure.error);
}

int
child_spawn(struct child *ret, const struct child_spec *spec, const char **ret_step)
{
	SCOPED(scope_close) int report_in = -1, report_out = -1, pidfd = -1, go_in = -1, go_out = -1;
	struct inside in = { .spec = spec, .exe_fd = spec->exe_fd, .cwd_fd = spec->cwd_fd, .go_fd = -1, .parent = getpid() };
	struct child child = { 0 };
	int pipe_fds[2];
	int r = check_spec(spec);

	if (ret_step)
		*ret_step = NULL;
	if (r < 0)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return FAULT(-errno);
	report_out = pipe_fds[0];
	report_in = pipe_fds[1];
	in.report_fd = report_in;
	if (spec->hold) {
		/* No pipe: writing to one whose child was killed would be a signal. */
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipe_fds) < 0)
			return FAULT(-errno);
		go_out = pipe_fds[0];
		go_in = pipe_fds[1];
		in.go_fd = go_out;
	}
	child.pid = fork();
	if (child.pid < 0)
		return FAULT(-errno);
	if (child.pid == 0) {
		if (go_in >= 0)
			(void)close(go_in);
		become(&in);
	}
	(void)close(report_in);
	report_in = -1;
	/* Our own child cannot vanish before we wait for it: the number is still its own. */
	pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	r = pidfd < 0 ? FAULT(-errno) : child_starttime(&child.starttime, child.pid);
	if (r != 0) {
		(void)kill(child.pid, SIGKILL);
		(void)waitpid(child.pid, NULL, 0);
		return r < 0 ? r : FAULT(-ESRCH);
	}
	r = await_exec(report_out, child.pid, spec->hold, ret_step);
	if (r < 0)
		return r;
	child.pidfd = STEAL_FD(pidfd);
	*ret = child;
	if (spec->hold)
		*spec->hold = (struct child_hold){ STEAL_FD(go_in), STEAL_FD(report_out) };
	return 0;
}

int
child_release(struct child_hold *hold, const struct child *child, const char **ret_step)
{
	int r;

	/* One that was killed over it is a child that ended, as one that was killed a moment later. */
	(void)send(hold->go_fd, "", 1, MSG_NOSIGNAL);
	r = await_exec(hold->report_fd, child->pid, false, ret_step);
	(void)close(hold->go_fd);
	(void)close(hold->report_fd);
	*hold = (struct child_hold){ -1, -1 };
	return r;
}

int
child_program(int *ret_fd, const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	SCOPED(scope_close) int dir = -1;
	char *slash;
	int fd;

	if (n < 0)
		return FAULT(-errno);
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || strchr(name, '/'))
		return FAULT(-EINVAL);
	slash[slash == path] = '\0';
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return FAULT(-errno);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		SCOPED(scope_close) int libexec = openat(dir, "../lib/mainstay", O_PATH | O_DIRECTORY | O_CLOEXEC);

		errno = ENOENT;
		fd = libexec < 0 ? -1 : openat(libexec, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return FAULT(-errno);
	*ret_fd = fd;
	return 0;
}
