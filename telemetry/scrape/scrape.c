#include "telemetry/scrape/scrape.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/loop/loop.h"
#include "telemetry/scrape/scrape_reply.h"

enum { QUESTION_MAX = 2048, READ_BYTES = 32 * 1024, READS_MAX = 8 };

struct scrape {
	int fd;
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct buf question; /* what of it is not sent yet */
	struct scrape_reply *reply;
	void (*done)(const struct scrape_end *end, void *arg);
	void *arg;
};

struct scrape *
scrape_free(struct scrape *s)
{
	if (!s)
		return NULL;
	loop_unwatch(s->watch);
	loop_cancel(s->timer);
	scope_close(&s->fd);
	buf_done(&s->question);
	scrape_reply_free(s->reply);
	free(s);
	return NULL;
}

/* The connection goes, then the caller is told; s may be gone afterwards. */
static void
finish(struct scrape *s, int r)
{
	const struct scrape_end end = { .result = r == SCRAPE_REPLY_WHOLE ? 0 : r,
		.samples = scrape_reply_samples(s->reply),
		.dropped = scrape_reply_dropped(s->reply) };

	s->watch = loop_unwatch(s->watch);
	s->timer = loop_cancel(s->timer);
	scope_close(&s->fd);
	s->fd = -1;
	s->done(&end, s->arg);
}

static void
on_timeout(void *arg)
{
	finish(arg, -ETIMEDOUT);
}

/* Returns 0: more must come. */
static int
receive(struct scrape *s)
{
	char bytes[READ_BYTES];
	int r = 0;

	/* A few at a time: others have a turn, too. */
	for (unsigned i = 0; r == 0 && i < READS_MAX; i++) {
		ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		r = n < 0	 ? -errno
			: n == 0 ? scrape_reply_close(s->reply)
				 : scrape_reply_feed(s->reply, bytes, (size_t)n);
	}
	return r;
}

/* What is left of the question.  An answer may come before all of it went. */
static int
ask_on(struct scrape *s)
{
	ssize_t n = send(s->fd, s->question.data, s->question.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : -errno;
	buf_consume(&s->question, (size_t)n);
	return s->question.len == 0 ? loop_watch_events(s->watch, EPOLLIN) : 0;
}

static void
on_ready(uint32_t revents, void *arg)
{
	struct scrape *s = arg;
	int r = 0;

	if (s->question.len > 0 && (revents & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		r = ask_on(s);
	if (r == 0 && (revents & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		r = receive(s);
	if (r != 0)
		finish(s, r);
}

static int
make(struct scrape *s, const struct scrape_ask *ask)
{
	int r;

	s->question = BUF_MAX(QUESTION_MAX);
	s->done = ask->done;
	s->arg = ask->arg;
	/* What a list of q says: OpenMetrics, and names that every format can write. */
	buf_printf(&s->question,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mainstay/" MAINSTAY_VERSION "\r\n"
		"Accept: application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,"
		"text/plain;version=1.0.0;escaping=underscores;q=0.5,text/"
		"plain;version=0.0.4;q=0.4,*/*;q=0.1\r\n"
		"Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: %.3f\r\nConnection: "
		"close\r\n\r\n",
		ask->path, ask->host, (double)ask->timeout_ms / 1000);
	r = buf_error(&s->question);
	r = r ?: scrape_reply_new(&s->reply, ask->what, ask->fallback, ask->sample, ask->arg);
	r = r ?: loop_after(&s->timer, ask->loop, ask->timeout_ms, on_timeout, s);
	return r ?: loop_watch(&s->watch, ask->loop, s->fd, EPOLLIN | EPOLLOUT, on_ready, s);
}

int
scrape_start(struct scrape **ret, const struct scrape_ask *ask, int take_fd)
{
	SCOPED(scrape_freep) struct scrape *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		scope_close(&take_fd);
		return FAULT(-ENOMEM);
	}
	s->fd = take_fd;
	r = make(s, ask);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}
