#include "telemetry/collect/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/source.h"

enum { READ_BYTES = 16 * 1024 };

struct exchange {
	sd_event *loop;
	char *dir, *name, *question;
	const struct exchange_ops *ops;
	void *arg;

	int fd; /* -1: no connection */
	struct loop_watch *watch;
	struct loop_timer *timer; /* runs from exchange_begin() until the end */
	struct buf answer;
};

int
exchange_socket(const char **ret, const char *template, const char *service)
{
	static const char run[] = "{run}/";
	const char *name;

	if (!template || strncmp(template, run, sizeof(run) - 1) != 0)
		return REFUSE(REASON_MALFORMED, service, "socket \"%s\" is not {run}/NAME",
			template ? template : "");
	name = template + sizeof(run) - 1;
	if (!*name || strchr(name, '/') || strlen(name) > EXCHANGE_NAME_MAX || strcmp(name, "..") == 0)
		return REFUSE(REASON_MALFORMED, service, "socket \"%s\" names no file of {run}",
			template);
	*ret = name;
	return 0;
}

/* Through a descriptor: the path may be longer than an address can hold, and what stands there may be a link. */
int
exchange_connect(int *ret_fd, const char *dir, const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	SCOPED(scope_close) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int socket_fd = -1;
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	if (dir_fd < 0)
		return -errno;
	socket_fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (socket_fd < 0 || fstat(socket_fd, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", socket_fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A frozen server with a full backlog gives EAGAIN here: it does not answer either. */
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
exchange_new(struct exchange **ret, sd_event *loop, const char *dir, const char *name,
	const char *question, size_t answer_max, const struct exchange_ops *ops, void *arg)
{
	SCOPED(exchange_freep) struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return FAULT(-ENOMEM);
	x->fd = -1;
	x->loop = sd_event_ref(loop);
	x->ops = ops;
	x->arg = arg;
	x->answer = BUF_MAX(answer_max);
	x->dir = strdup(dir);
	x->name = strdup(name);
	x->question = strdup(question);
	if (!x->dir || !x->name || !x->question)
		return FAULT(-ENOMEM);
	*ret = STEAL(x);
	return 0;
}

struct exchange *
exchange_free(struct exchange *x)
{
	if (!x)
		return NULL;
	loop_unwatch(x->watch);
	loop_cancel(x->timer);
	scope_close(&x->fd);
	buf_done(&x->answer);
	free(x->dir);
	free(x->name);
	free(x->question);
	sd_event_unref(x->loop);
	free(x);
	return NULL;
}

/* Let the connection go, and tell. */
static void
finish(struct exchange *x, int r)
{
	x->watch = loop_unwatch(x->watch);
	x->timer = loop_cancel(x->timer);
	scope_close(&x->fd);
	x->fd = -1;
	x->ops->end(r, x->answer.data, x->answer.len, x->arg);
	buf_reset(&x->answer);
}

static void
on_timeout(void *arg)
{
	finish(arg, -ETIMEDOUT);
}

static void
on_readable(uint32_t revents, void *arg)
{
	struct exchange *x = arg;
	size_t room = x->answer.max - x->answer.len;
	uint8_t *at;
	ssize_t n;
	int r;

	(void)revents; /* an error or the end shows itself in recv() */
	room = room < READ_BYTES ? room : READ_BYTES;
	at = room > 0 ? buf_reserve(&x->answer, room) : NULL;
	if (!at) { /* longer than an answer may be, or no memory */
		finish(x, -EMSGSIZE);
		return;
	}
	n = recv(x->fd, at, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(x, n == 0 && x->ops->last
				? x->ops->last(x->answer.data, x->answer.len, x->arg)
				: -ECONNRESET);
		return;
	}
	buf_advance(&x->answer, (size_t)n);
	r = x->ops->frame(x->answer.data, x->answer.len, x->arg);
	if (r != EXCHANGE_MORE)
		finish(x, r);
}

static int
ask(struct exchange *x)
{
	size_t len = strlen(x->question);
	SCOPED(scope_close) int fd = -1;
	int r = exchange_connect(&fd, x->dir, x->name);

	if (r < 0)
		return r;
	if (send(fd, x->question, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -EPIPE;
	x->fd = STEAL_FD(fd);
	return loop_watch(&x->watch, x->loop, x->fd, EPOLLIN, on_readable, x);
}

void
exchange_begin(struct exchange *x)
{
	int r;

	if (x->timer)
		return;
	r = ask(x);
	if (r < 0)
		log_debug("%s/%s: %s", x->dir, x->name, strerror(-r));
	/* Without a connection the end is told from the loop all the same. */
	r = loop_after(&x->timer, x->loop, r < 0 ? 0 : SOURCE_TIMEOUT_MS, on_timeout, x);
	if (r < 0)
		finish(x, r);
}
