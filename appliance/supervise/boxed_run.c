#include "appliance/supervise/boxed_run.h"

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

enum { ANSWER_MAX = 4096, INFO_MAX = 1024, LAST_WAIT_MS = 1000 };

struct boxed_run {
	sd_event *loop;
	const struct boxed *boxed;
	const char *expect;
	boxed_run_fn *fn;
	void *arg;
	struct child box; /* bubblewrap; pid 0: none runs */
	struct child_watch *box_watch;
	struct child inside; /* the program; pid 0: not told yet */
	bool killed;	     /* nobody wants to hear of it any more */
	bool exited;
	int status;
	int out_fd, info_fd; /* -1: at their end */
	struct loop_watch *out_watch, *info_watch;
	char answer[ANSWER_MAX + 1];
	char info[INFO_MAX + 1];
	size_t answer_len, info_len;
};

int
boxed_run_new(struct boxed_run **ret, sd_event *loop, const struct boxed *boxed, boxed_run_fn *fn,
	void *arg)
{
	struct boxed_run *p = calloc(1, sizeof(*p));

	if (!p)
		return FAULT(-ENOMEM);
	*p = (struct boxed_run){ .loop = sd_event_ref(loop),
		.boxed = boxed,
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
forget(struct boxed_run *p)
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
check_end(struct boxed_run *p)
{
	bool told = !p->killed, passed;

	if (!p->exited || (told && p->out_fd >= 0))
		return;
	p->answer[p->answer_len] = '\0';
	passed = p->status == 0 && (!*p->expect || strstr(p->answer, p->expect));
	forget(p);
	if (told)
		p->fn(passed, p->arg);
}

static void
on_box_exit(pid_t pid, int status, void *arg)
{
	struct boxed_run *p = arg;

	(void)pid;
	p->exited = true;
	p->status = status;
	check_end(p);
}

static void
on_output(uint32_t revents, void *arg)
{
	struct boxed_run *p = arg;
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
	struct boxed_run *p = arg;
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
spawn(struct boxed_run *p, const struct boxed_job *job, int out, int info)
{
	const struct boxed_ends ends = { .out = job->log_fd >= 0 ? job->log_fd : out,
		.err = job->log_fd,
		.info = info,
		.go = -1 };
	int r;

	r = boxed_spawn(&p->box, p->boxed, job->argv, job->rights | BOXED_BOUND, &ends);
	r = r ?: child_watch(&p->box_watch, p->loop, &p->box, on_box_exit, p);
	r = r ?: loop_watch(&p->out_watch, p->loop, p->out_fd, EPOLLIN, on_output, p);
	return r ?: loop_watch(&p->info_watch, p->loop, p->info_fd, EPOLLIN, on_info, p);
}

int
boxed_run_start(struct boxed_run *p, const struct boxed_job *job)
{
	SCOPED(scope_close) int out = -1;
	SCOPED(scope_close) int info = -1;
	int ends[2], r;

	if (p->box.pid > 0)
		return REASON_BUSY;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return FAULT(-errno);
	p->expect = job->expect;
	p->out_fd = ends[0];
	out = ends[1];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		r = -errno;
	} else {
		p->info_fd = ends[0];
		info = ends[1];
		r = spawn(p, job, out, info);
	}
	if (r && p->box.pid > 0)
		boxed_run_cancel(p);
	else if (r)
		forget(p);
	return r < 0 ? FAULT(r) : r;
}

void
boxed_run_cancel(struct boxed_run *p)
{
	p->killed = p->box.pid > 0;
	if (p->inside.pid > 0)
		(void)child_signal(p->inside.pidfd, SIGKILL);
}

struct boxed_run *
boxed_run_free(struct boxed_run *p)
{
	if (!p)
		return NULL;
	boxed_run_cancel(p);
	if (p->box.pid > 0 && !p->exited)
		(void)child_wait(&p->box, LAST_WAIT_MS, &p->status); /* our last act: no zombie */
	forget(p);
	sd_event_unref(p->loop);
	free(p);
	return NULL;
}
