#include "appliance/supervise/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/supervise/probe_exec.h"

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
	int fd;			 /* the socket; -1 */
	struct probe_exec *exec; /* of health exec */
	char answer[ANSWER_MAX + 1];
	size_t len;
};

void
probe_cancel(struct probe *p)
{
	loop_cancel(p->time_out);
	loop_cancel(p->ended);
	loop_unwatch(p->watch);
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
	if (p->exec)
		probe_exec_cancel(p->exec);
	p->running = false;
	p->len = 0;
}

struct probe *
probe_free(struct probe *p)
{
	if (!p)
		return NULL;
	probe_cancel(p);
	probe_exec_free(p->exec);
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
on_exec(bool passed, void *arg)
{
	finish(arg, passed ? PROBE_PASSED : PROBE_ERROR);
}

int
probe_new(struct probe **ret, sd_event *loop, const struct spec *spec, probe_fn *fn, void *arg)
{
	SCOPED(probe_freep) struct probe *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return FAULT(-ENOMEM);
	*p = (struct probe){
		.loop = sd_event_ref(loop), .spec = spec, .fn = fn, .arg = arg, .fd = -1
	};
	if (spec->health == SPEC_HEALTH_EXEC)
		r = probe_exec_new(&p->exec, loop, spec, on_exec, p);
	if (r)
		return FAULT(r);
	*ret = STEAL(p);
	return 0;
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

void
probe_start(struct probe *p)
{
	int r;

	if (p->running)
		return;
	p->running = true;
	p->len = 0;
	r = loop_after(&p->time_out, p->loop, p->spec->health_timeout_ms, on_time_out, p);
	r = r ?: p->exec ? probe_exec_start(p->exec) : start_resp(p);
	if (r) /* busy: the one before is still being killed, so it was silent, too */
		finish_soon(p, r == REASON_BUSY ? PROBE_SILENT : PROBE_ERROR);
}
