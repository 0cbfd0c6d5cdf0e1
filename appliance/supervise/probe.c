#include "appliance/supervise/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/sandbox.h"

enum { ANSWER_MAX = 4096 };

struct probe {
	sd_event *loop;
	const struct spec *spec;
	probe_fn *fn;
	void *arg;
	bool running;
	struct loop_timer *time_out;
	struct loop_timer *ended; /* a result that was known at once, said from the loop */
	enum probe_result result;
	struct loop_watch *watch;
	int fd;		    /* the socket, or the pipe of a program's stdout; -1 */
	struct child child; /* pid 0: none */
	struct child_watch *child_watch;
	bool exited;
	int status;
	char answer[ANSWER_MAX + 1];
	size_t len;
};

int
probe_new(struct probe **ret, sd_event *loop, const struct spec *spec, probe_fn *fn, void *arg)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return FAULT(-ENOMEM);
	*p = (struct probe){ .loop = sd_event_ref(loop),
		.spec = spec,
		.fn = fn,
		.arg = arg,
		.fd = -1,
		.child = { .pidfd = -1 } };
	*ret = p;
	return 0;
}

void
probe_cancel(struct probe *p)
{
	loop_cancel(p->time_out);
	loop_cancel(p->ended);
	loop_unwatch(p->watch);
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
	if (p->child_watch)
		child_unwatch(p->child_watch);
	if (p->child.pid > 0 && !p->exited) {
		(void)child_signal(p->child.pidfd, SIGKILL);
		(void)child_wait(&p->child, 1000,
			&p->status); /* a kill takes no time; leaves no zombie */
	}
	if (p->child.pidfd >= 0)
		(void)close(p->child.pidfd);
	p->child = (struct child){ .pidfd = -1 };
	p->running = false;
	p->exited = false;
	p->len = 0;
}

struct probe *
probe_free(struct probe *p)
{
	if (!p)
		return NULL;
	probe_cancel(p);
	sd_event_unref(p->loop);
	free(p);
	return NULL;
}

static void
finish(struct probe *p, enum probe_result result)
{
	probe_cancel(p);
	p->fn(result, p->arg);
}

static void
on_ended(void *arg)
{
	struct probe *p = arg;

	finish(p, p->result);
}

/* Say result from the loop, never from within probe_start(). */
static void
finish_soon(struct probe *p, enum probe_result result)
{
	p->result = result;
	if (loop_after(&p->ended, p->loop, 0, on_ended, p) < 0)
		p->running = false; /* no memory: the next probe tries again */
}

static void
on_time_out(void *arg)
{
	finish(arg, PROBE_SILENT);
}

static void
on_resp(uint32_t revents, void *arg)
{
	struct probe *p = arg;
	ssize_t n = recv(p->fd, p->answer + p->len, ANSWER_MAX - p->len, MSG_DONTWAIT);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->len += (size_t)n;
	p->answer[p->len] = '\0';
	if (n > 0 && !strstr(p->answer, "\r\n") && p->len < ANSWER_MAX)
		return;
	/* A server that wants a password is one that answers. */
	finish(p,
		!strncmp(p->answer, "+PONG\r\n", 7) || !strncmp(p->answer, "-NOAUTH ", 8)
			? PROBE_PASSED
			: PROBE_ERROR);
}

static int
start_resp(struct probe *p)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	SCOPED(scope_close) int dir = -1;

	dir = open(p->spec->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* By descriptor: a folder's name may be longer than a socket address holds. */
	if (dir < 0 || p->fd < 0 ||
		snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", dir,
			p->spec->socket) >= (int)sizeof(sa.sun_path))
		return -EINVAL;
	/* EAGAIN: its queue is full, so it does not accept; the time-out calls that silence. */
	if (connect(p->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (send(p->fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ping) - 1)
		return -EPIPE;
	return loop_watch(&p->watch, p->loop, p->fd, EPOLLIN, on_resp, p);
}

static void
judge_exec(struct probe *p)
{
	p->answer[p->len] = '\0';
	finish(p,
		p->status == 0 && (!*p->spec->expect || strstr(p->answer, p->spec->expect))
			? PROBE_PASSED
			: PROBE_ERROR);
}

static void
on_exec_output(uint32_t revents, void *arg)
{
	struct probe *p = arg;
	char rest[512];
	ssize_t n = p->len < ANSWER_MAX ? read(p->fd, p->answer + p->len, ANSWER_MAX - p->len)
					: read(p->fd, rest, sizeof(rest));

	(void)revents;
	if (n > 0 && p->len < ANSWER_MAX)
		p->len += (size_t)n;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	loop_unwatch(p->watch);
	(void)close(p->fd);
	p->fd = -1;
	if (p->exited)
		judge_exec(p);
}

static void
on_exec_exit(pid_t pid, int status, void *arg)
{
	struct probe *p = arg;

	(void)pid;
	p->exited = true;
	p->status = status;
	if (p->fd < 0)
		judge_exec(p);
}

static int
start_exec(struct probe *p)
{
	struct child_spec spec = CHILD_SPEC;
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	SCOPED(scope_close) int exe = -1;
	int ends[2], r;

	sandbox_begin(&box, p->spec->tree, p->spec->network, true);
	sandbox_bind(&box, p->spec->run, "/run/service", false);
	r = sandbox_end(&box, p->spec->probe);
	if (r)
		return r;
	exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	if (exe < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	p->fd = ends[0];
	spec.exe_fd = exe;
	spec.argv = (const char *const *)box.args;
	spec.fds[spec.n_fds++] = (struct child_fd){ ends[1], STDOUT_FILENO };
	spec.parent_death_signal = SIGKILL;
	r = child_spawn(&p->child, &spec, NULL);
	(void)close(ends[1]);
	r = r ?: child_watch(&p->child_watch, p->loop, &p->child, on_exec_exit, p);
	return r ?: loop_watch(&p->watch, p->loop, p->fd, EPOLLIN, on_exec_output, p);
}

void
probe_start(struct probe *p)
{
	int r;

	if (p->running)
		return;
	p->running = true;
	p->len = 0;
	r = loop_after(&p->time_out, p->loop, p->spec->health_timeout_ms, on_time_out, p);
	r = r ?: p->spec->health == SPEC_HEALTH_RESP ? start_resp(p) : start_exec(p);
	if (r)
		finish_soon(p, PROBE_ERROR);
}
