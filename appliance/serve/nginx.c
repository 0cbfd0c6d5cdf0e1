#include "appliance/serve/nginx.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/serve/nginx_conf.h"
#include "appliance/serve/reactor.h"

enum {
	CHECKS_MAX = 3,
	NAME_BYTES = 64,
	CONF_MAX = 256 * 1024,
	BACKOFF_MS = 200,
	BACKOFF_MAX_MS = 10000,
	STEADY_S = 30, /* a run longer than this forgets earlier failures */
};

struct nginx {
	struct reactor *reactor;
	struct reactor_source *on_child, *again;
	char dir[PATH_MAX];
	char program[PATH_MAX];
	pid_t pid; /* 0: not running */
	uint64_t started_us;
	unsigned failures;
	bool quitting;
};

/* Where nginx is: on PATH, or where Debian keeps it for root. */
static int
find(char program[PATH_MAX])
{
	const char *path = getenv("PATH");
	char list[PATH_MAX];

	(void)snprintf(list, sizeof(list), "%s:/usr/sbin:/usr/local/sbin", path ? path : "/usr/bin");
	for (const char *at = list; *at;) {
		size_t len = strcspn(at, ":");

		if (len > 0 && at[0] == '/' &&
			snprintf(program, PATH_MAX, "%.*s/nginx", (int)len, at) < PATH_MAX &&
			access(program, X_OK) == 0)
			return 0;
		at += len + (at[len] == ':');
	}
	return REFUSE(REASON_NOT_FOUND, "nginx", "is not installed (apt-get install nginx-light)");
}

static int
spawn(pid_t *ret, const char *program, const char *dir, bool check)
{
	char conf[PATH_MAX + 16], errors[PATH_MAX + 16];
	char *const run_argv[] = { (char *)"nginx", (char *)"-p", (char *)dir, (char *)"-c", conf, (char *)"-e",
		errors, (char *)"-q", (char *)(check ? "-t" : NULL), NULL };
	char *const environment[] = { NULL };
	pid_t parent = getpid(), pid;

	(void)snprintf(conf, sizeof(conf), "%s/nginx.conf", dir);
	(void)snprintf(errors, sizeof(errors), "%s", check ? "stderr" : "error.log");
	pid = fork();
	if (pid < 0)
		return FAULT(-errno);
	if (pid == 0) {
		sigset_t none;
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)signal(SIGPIPE, SIG_DFL);
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		/* A group of its own, so that workers whose master was killed can be found; and the front dies with
		 * the hub, however the hub dies. */
		(void)setpgid(0, 0);
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
			_exit(127);
		(void)execve(program, run_argv, environment);
		_exit(127);
	}
	*ret = pid;
	return 0;
}

static int
check(int *ret_status, const char *program, const char *dir)
{
	pid_t pid;
	int r = spawn(&pid, program, dir, true);

	if (r != 0)
		return FAULT(r);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return FAULT(-errno);
	return 0;
}

int
nginx_install(const struct nginx_config *config)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CONF_MAX);
	SCOPED(scope_close) int fd = -1;
	char program[PATH_MAX];
	unsigned tries = 0;
	int status = 0, r;

	r = find(program);
	r = r ? r : nginx_conf_write(&text, config);
	r = r ? r : fs_open_dir(&fd, AT_FDCWD, config->dir, 0700);
	r = r ? r : fs_replace(fd, "nginx.conf", text.data, text.len, 0600);
	do /* one that was killed said nothing of what it was to look at */
		r = r ? r : check(&status, program, config->dir);
	while (r == 0 && WIFSIGNALED(status) && ++tries < CHECKS_MAX);
	if (r != 0)
		return FAULT(r);
	if (WIFSIGNALED(status))
		return REFUSE(REASON_INTERRUPTED, "nginx", "was killed %u times while it looked at %s/nginx.conf (signal %d)",
			tries, config->dir, WTERMSIG(status));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return REFUSE(REASON_CONFLICT, "nginx", "does not take %s/nginx.conf; its own words are above",
			config->dir);
	return 0;
}

/* By the name the kernel has of it: its file may be of another version, or gone. */
static bool
is_nginx(int proc_fd, const char *pid)
{
	SCOPED(buf_done) struct buf name = BUF_MAX(NAME_BYTES);
	char path[NAME_MAX + sizeof("/comm")];

	(void)snprintf(path, sizeof(path), "%s/comm", pid);
	return fs_read(proc_fd, path, NAME_BYTES, &name) == 0 && strcmp(buf_text(&name), "nginx\n") == 0;
}

/* Workers whose master was killed together with the hub before us keep the port for ever; so does a master whose TERM came
 * before it listened for it.  An nginx that writes to our error.log is one of them. */
static void
end_former(const struct nginx *n)
{
	char log[PATH_MAX + 16];
	struct stat ours, is;
	struct dirent *e;
	DIR *proc;

	(void)snprintf(log, sizeof(log), "%s/error.log", n->dir);
	if (stat(log, &ours) < 0)
		return; /* none was here */
	proc = opendir("/proc");
	if (!proc)
		log_fault(FAULT(-errno), "looking for the nginx of a hub that was killed");
	while (proc && (e = readdir(proc))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		SCOPED(scope_close) int fd = pid > 0 ? pidfd_open(pid, 0) : -1;
		char path[sizeof(e->d_name) + sizeof("/fd/2")];

		(void)snprintf(path, sizeof(path), "%s/fd/2", e->d_name);
		if (fd < 0 || fstatat(dirfd(proc), path, &is, 0) < 0 || is.st_ino != ours.st_ino || is.st_dev != ours.st_dev ||
			!is_nginx(dirfd(proc), e->d_name))
			continue;
		log_warning("nginx %d of a hub that was killed is ended", (int)pid);
		(void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
	}
	if (proc)
		(void)closedir(proc);
}

static int
run(struct nginx *n)
{
	int r = spawn(&n->pid, n->program, n->dir, false);

	n->started_us = clock_mono_us();
	return r < 0 ? FAULT(r) : 0;
}

static void
on_again(void *arg)
{
	struct nginx *n = arg;
	int r = run(n);

	if (r < 0) {
		log_fault(r, "start nginx");
		(void)reactor_again(n->again, BACKOFF_MAX_MS * CLOCK_US_PER_MS);
	}
}

static void
on_child(void *arg)
{
	struct nginx *n = arg;
	uint64_t wait_us;
	int status;

	if (n->pid == 0 || waitpid(n->pid, &status, WNOHANG) != n->pid)
		return;
	/* Workers outlive a master that was killed, and keep its port. */
	(void)kill(-n->pid, SIGKILL);
	n->pid = 0;
	if (n->quitting)
		return;
	if (clock_mono_us() - n->started_us > STEADY_S * CLOCK_US_PER_S)
		n->failures = 0;
	wait_us = clock_backoff_us(n->failures++, BACKOFF_MS * CLOCK_US_PER_MS, BACKOFF_MAX_MS * CLOCK_US_PER_MS);
	log_warning("nginx ended (status %d); it is started again in %ju ms", status,
		(uintmax_t)(wait_us / CLOCK_US_PER_MS));
	if (n->again)
		(void)reactor_again(n->again, wait_us);
	else
		(void)reactor_after(&n->again, n->reactor, wait_us, on_again, n);
}

int
nginx_start(struct nginx **ret, struct reactor *reactor, const struct nginx_config *config)
{
	struct nginx *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return FAULT(-ENOMEM);
	n->reactor = reactor;
	(void)snprintf(n->dir, sizeof(n->dir), "%s", config->dir);
	end_former(n);
	r = find(n->program);
	r = r ? r : reactor_signal(&n->on_child, reactor, SIGCHLD, on_child, n);
	r = r ? r : run(n);
	if (r != 0) {
		nginx_stop(n);
		return FAULT(r);
	}
	*ret = n;
	return 0;
}

void
nginx_quit(struct nginx *n)
{
	n->quitting = true;
	n->again = reactor_cancel(n->again);
	if (n->pid > 0)
		(void)kill(n->pid, SIGQUIT);
}

bool
nginx_running(const struct nginx *n)
{
	return n->pid > 0;
}

bool
nginx_ready(const struct nginx *n)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(64);
	char path[PATH_MAX + 16], want[32];

	/* nginx writes its pid once its sockets are bound. */
	(void)snprintf(path, sizeof(path), "%s/nginx.pid", n->dir);
	(void)snprintf(want, sizeof(want), "%d\n", (int)n->pid);
	return n->pid > 0 && fs_read(AT_FDCWD, path, 32, &text) == 0 && strcmp(buf_text(&text), want) == 0;
}

struct nginx *
nginx_stop(struct nginx *n)
{
	if (!n)
		return NULL;
	if (n->pid > 0) {
		/* TERM first: the master takes its workers with it, which KILL would orphan. */
		(void)kill(n->pid, SIGTERM);
		for (int i = 0; i < 100 && n->pid > 0; i++) {
			if (waitpid(n->pid, NULL, WNOHANG) != 0)
				n->pid = 0;
			else
				(void)usleep(20 * 1000);
		}
		if (n->pid > 0) {
			(void)kill(-n->pid, SIGKILL);
			(void)waitpid(n->pid, NULL, 0);
		}
	}
	reactor_cancel(n->again);
	reactor_cancel(n->on_child);
	free(n);
	return NULL;
}
