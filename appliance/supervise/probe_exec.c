#include "appliance/supervise/probe_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/sandbox.h"

enum { ANSWER_MAX = 4096, INFO_MAX = 1024, INFO_FD = 4, LAST_WAIT_MS = 1000 };

struct probe_exec {
	sd_event *loop;
	const struct spec *spec;
	probe_exec_fn *fn;
	void *arg;
	struct child box; /* bubblewrap; pid 0: none runs */
	struct child_watch *box_watch;
	struct child inside; /* the program; pid 0: not told yet */
	bool killed;	     /* nobody wants to hear of it any more */
	bool exited;
	int status;
	int out_fd, info_fd; /* -1: at their end */
	struct loop_watch *out_watch, *info_watch;
	char answer[ANSWER_MAX + 1], info[INFO_MAX + 1];
	size_t answer_len, info_len;
};

int
probe_exec_new(struct probe_exec **ret, sd_event *loop, const struct spec *spec, probe_exec_fn *fn,
	void *arg)
{
	struct probe_exec *p = calloc(1, sizeof(*p));

	if (!p)
		return FAULT(-ENOMEM);
	*p = (struct probe_exec){ .loop = sd_event_ref(loop),
		.spec = spec,
		.fn = fn,
		.arg = arg,
		.out_fd = -1,
		.info_fd = -1,
		.box = { .pidfd = -1 },
		.inside = { .pidfd = -1 } };
	*ret = p;
	return 0;
}

static void
forget(struct probe_exec *p)
{
	child_unwatch(p->box_watch);
	loop_unwatch(p->out_watch);
	loop_unwatch(p->info_watch);
	scope_close(&p->box.pidfd);
	scope_close(&p->inside.pidfd);
	scope_close(&p->out_fd);
	scope_close(&p->info_fd);
	p->box = p->inside = (struct child){ .pidfd = -1 };
	p->killed = p->exited = false;
	p->answer_len = p->info_len = 0;
}

static void
check_end(struct probe_exec *p)
{
	bool told = !p->killed, passed;

	if (!p->exited || (told && p->out_fd >= 0))
		return;
	p->answer[p->answer_len] = '\0';
	passed = p->status == 0 && (!*p->spec->expect || strstr(p->answer, p->spec->expect));
	forget(p);
	if (told)
		p->fn(passed, p->arg);
}

static void
on_box_exit(pid_t pid, int status, void *arg)
{
	struct probe_exec *p = arg;

	(void)pid;
	p->exited = true;
	p->status = status;
	check_end(p);
}

static void
on_output(uint32_t revents, void *arg)
{
	struct probe_exec *p = arg;
	char rest[512];
	bool room = p->answer_len < ANSWER_MAX;
	ssize_t n = room ? read(p->out_fd, p->answer + p->answer_len, ANSWER_MAX - p->answer_len)
			 : read(p->out_fd, rest, sizeof(rest));

	(void)revents;
	if (n > 0 && room)
		p->answer_len += (size_t)n;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	loop_unwatch(p->out_watch);
	scope_close(&p->out_fd);
	check_end(p);
}

static void
on_info(uint32_t revents, void *arg)
{
	struct probe_exec *p = arg;
	ssize_t n = read(p->info_fd, p->info + p->info_len, INFO_MAX - p->info_len);
	uint64_t starttime;
	pid_t pid;

	(void)revents;
	if (n > 0)
		p->info_len += (size_t)n;
	p->info[p->info_len] = '\0';
	pid = sandbox_child_pid(p->info);
	if (pid > 0 && p->inside.pid == 0 && child_starttime(&starttime, pid) == 0 &&
		child_adopt(&p->inside, pid, starttime) == 0 && p->killed)
		(void)child_signal(p->inside.pidfd, SIGKILL);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	loop_unwatch(p->info_watch);
	scope_close(&p->info_fd);
}

static int
spawn(struct probe_exec *p, const struct sandbox *box, int exe_fd, int out_fd, int info_fd)
{
	struct child_spec spec = CHILD_SPEC;
	int r;

	spec.exe_fd = exe_fd;
	spec.argv = (const char *const *)box->args;
	spec.fds[spec.n_fds++] = (struct child_fd){ out_fd, STDOUT_FILENO };
	spec.fds[spec.n_fds++] = (struct child_fd){ info_fd, INFO_FD };
	spec.parent_death_signal = SIGKILL;
	r = child_spawn(&p->box, &spec, NULL);
	r = r ?: child_watch(&p->box_watch, p->loop, &p->box, on_box_exit, p);
	r = r ?: loop_watch(&p->out_watch, p->loop, p->out_fd, EPOLLIN, on_output, p);
	r = r ?: loop_watch(&p->info_watch, p->loop, p->info_fd, EPOLLIN, on_info, p);
	return FAULT(r);
}

int
probe_exec_start(struct probe_exec *p)
{
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	SCOPED(scope_close) int exe = -1;
	SCOPED(scope_close) int out = -1;
	SCOPED(scope_close) int info = -1;
	int ends[2], r;

	if (p->box.pid > 0)
		return REASON_BUSY;
	sandbox_begin(&box, p->spec->tree, p->spec->network != SPEC_NETWORK_NONE, true);
	sandbox_bind(&box, p->spec->run, "/run/service", false);
	sandbox_info_fd(&box, INFO_FD);
	r = sandbox_end(&box, p->spec->probe);
	if (r)
		return r;
	exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	if (exe < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return FAULT(-errno);
	p->out_fd = ends[0];
	out = ends[1];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		r = FAULT(-errno);
	} else {
		p->info_fd = ends[0];
		info = ends[1];
		r = spawn(p, &box, exe, out, info);
	}
	if (r && p->box.pid > 0)
		probe_exec_cancel(p);
	else if (r)
		forget(p);
	return r;
}

void
probe_exec_cancel(struct probe_exec *p)
{
	p->killed = p->box.pid > 0;
	if (p->inside.pid > 0)
		(void)child_signal(p->inside.pidfd, SIGKILL);
}

struct probe_exec *
probe_exec_free(struct probe_exec *p)
{
	if (!p)
		return NULL;
	probe_exec_cancel(p);
	if (p->box.pid > 0 && !p->exited)
		(void)child_wait(&p->box, LAST_WAIT_MS, &p->status); /* our last act: no zombie */
	forget(p);
	sd_event_unref(p->loop);
	free(p);
	return NULL;
}
