#include "appliance/supervise/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/supervise/boxed_run.h"
#include "appliance/supervise/probe_talk.h"

enum { QUESTION_MAX = 1024 };

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
	int fd;		     /* the socket; -1 */
	struct buf question; /* what is still to be sent */
	size_t sent;
	struct boxed_run *exec; /* of health exec */
	char answer[PROBE_TALK_MAX];
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
		boxed_run_cancel(p->exec);
	p->running = false;
	p->len = 0;
}

bool
probe_runs(const struct probe *p)
{
	return p->running;
}

struct probe *
probe_free(struct probe *p)
{
	if (!p)
		return NULL;
	probe_cancel(p);
	boxed_run_free(p->exec);
	buf_done(&p->question);
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
probe_new(struct probe **ret, sd_event *loop, const struct boxed *boxed, probe_fn *fn, void *arg)
{
	SCOPED(probe_freep) struct probe *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return FAULT(-ENOMEM);
	*p = (struct probe){ .loop = sd_event_ref(loop),
		.spec = boxed->spec,
		.fn = fn,
		.arg = arg,
		.fd = -1,
		.question = BUF_MAX(QUESTION_MAX) };
	if (boxed->spec->health == SPEC_HEALTH_EXEC)
		r = boxed_run_new(&p->exec, loop, boxed, on_exec, p);
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

/* --- over a socket ---------------------------------------------------------------------------- */
static void
on_answer(uint32_t revents, void *arg)
{
	struct probe *p = arg;
	ssize_t n = recv(p->fd, p->answer + p->len, sizeof(p->answer) - p->len, MSG_DONTWAIT);
	enum probe_talk says;

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->len += (size_t)n;
	says = probe_talk_judge(p->spec, p->answer, p->len, n <= 0);
	if (says != PROBE_TALK_MORE)
		finish(p, says == PROBE_TALK_WELL ? PROBE_PASSED : PROBE_ERROR);
}

static void
on_connected(uint32_t revents, void *arg)
{
	struct probe *p = arg;
	int error = 0;
	socklen_t size = sizeof(error);
	ssize_t n;

	(void)revents;
	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error) {
		finish(p, PROBE_ERROR);
		return;
	}
	if (p->question.len == 0) {
		finish(p, PROBE_PASSED);
		return;
	}
	n = send(p->fd, p->question.data + p->sent, p->question.len - p->sent,
		MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		finish(p, PROBE_ERROR);
		return;
	}
	if (n > 0)
		p->sent += (size_t)n;
	if (p->sent < p->question.len)
		return;
	loop_unwatch(p->watch);
	if (loop_watch(&p->watch, p->loop, p->fd, EPOLLIN, on_answer, p) < 0)
		finish(p, PROBE_ERROR);
}

/* The service's socket, by a descriptor: its name may be longer than an address holds, and the folder is
 * the service's, who could put a link there. */
static int
connect_unix(struct probe *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	SCOPED(scope_close) int dir = open(p->spec->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int at = -1;
	struct stat st;

	at = dir < 0 ? -1 : openat(dir, p->spec->socket, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0 || fstat(at, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return -errno;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", at);
	return connect(p->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static int
connect_tcp(struct probe *p)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)p->spec->port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return -errno;
	return connect(p->fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static int
start_socket(struct probe *p)
{
	int r;

	buf_reset(&p->question);
	p->sent = 0;
	r = probe_talk_ask(&p->question, p->spec);
	if (r)
		return r;
	r = *p->spec->socket ? connect_unix(p) : connect_tcp(p);
	/* EAGAIN: its queue is full, so it does not accept; the time-out calls that silence. */
	if (r == -EAGAIN)
		return 0;
	if (r && r != -EINPROGRESS)
		return r;
	return loop_watch(&p->watch, p->loop, p->fd, EPOLLOUT, on_connected, p);
}

static int
start_exec(struct probe *p)
{
	const struct boxed_job job = { .argv = p->spec->probe,
		.rights = p->spec->probe_secrets ? BOXED_SECRETS : 0,
		.expect = p->spec->expect,
		.log_fd = -1 };

	return boxed_run_start(p->exec, &job);
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
	r = r ?: p->exec ? start_exec(p) : start_socket(p);
	if (r) /* busy: the one before is still being killed, so it was silent, too */
		finish_soon(p, r == REASON_BUSY ? PROBE_SILENT : PROBE_ERROR);
}
