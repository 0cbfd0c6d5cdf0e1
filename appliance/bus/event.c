#include "appliance/bus/event.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pubsub.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/loop/loop.h"

enum {
	TURN_MAX = 64,	   /* events taken in one turn of the loop */
	ADDRESS_MAX = 120, /* "ipc://" and what a socket address holds */
	RETRY_LEAST_MS = 100,
	RETRY_MOST_MS = 5000,
};

struct event_publisher {
	int socket;
};

struct event_subscriber {
	int socket;
	sd_event *loop;
	struct loop_watch *watch;
	struct loop_timer *more; /* what one turn did not take */
	event_fn *fn;
	void *arg;
	bool busy; /* it calls back now: */
	bool dead; /* and was unsubscribed in there, the struct is freed when it returns */
};

static int
make_address(char out[ADDRESS_MAX], const char *dir, const char *name)
{
	int n = snprintf(out, ADDRESS_MAX, "ipc://%s/%s", dir, name);

	/* 108 bytes of a socket address, its NUL among them, behind "ipc://". */
	return n < 0 || n >= 6 + 108 ? FAULT(-ENAMETOOLONG) : 0;
}

int
event_publisher_open(struct event_publisher **ret, const char *dir, const char *name)
{
	SCOPED(event_publisher_closep) struct event_publisher *p = calloc(1, sizeof(*p));
	char address[ADDRESS_MAX];
	mode_t before;
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	p->socket = -1;
	r = make_address(address, dir, name);
	if (r < 0)
		return r;
	p->socket = nn_socket(AF_SP, NN_PUB);
	if (p->socket < 0)
		return FAULT(-nn_errno());
	before = umask(0117); /* the folder decides who comes near; its group may connect */
	r = nn_bind(p->socket, address) < 0 ? -nn_errno() : 0;
	(void)umask(before);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(p);
	return 0;
}

struct event_publisher *
event_publisher_close(struct event_publisher *p)
{
	if (!p)
		return NULL;
	if (p->socket >= 0)
		(void)nn_close(p->socket);
	free(p);
	return NULL;
}

/* A message is the topic, a NUL, the text: nanomsg filters by its beginning. */
int
event_publish(struct event_publisher *p, const char *topic, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(EVENT_TOPIC_MAX + 1 + EVENT_BYTES_MAX);

	if (strlen(topic) > EVENT_TOPIC_MAX || strlen(text) > EVENT_BYTES_MAX)
		return FAULT(-EMSGSIZE);
	buf_puts(&b, topic);
	buf_u8(&b, 0);
	buf_puts(&b, text);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	if (nn_send(p->socket, b.data, b.len, NN_DONTWAIT) < 0 && nn_errno() != EAGAIN)
		return FAULT(-nn_errno());
	return 0;
}

/* Deliver one message; what is not topic NUL text is nobody's event. */
static void
deliver(struct event_subscriber *s, const char *p, size_t len)
{
	size_t topic_len = strnlen(p, len);
	char *text;

	if (topic_len == len || topic_len > EVENT_TOPIC_MAX ||
		len - topic_len - 1 > EVENT_BYTES_MAX)
		return;
	text = strndup(p + topic_len + 1, len - topic_len - 1);
	if (!text)
		return; /* an event may be lost */
	s->fn(p, text, s->arg);
	free(text);
}

static void drain(void *arg);

static void
on_readable(uint32_t revents, void *arg)
{
	(void)revents;
	drain(arg);
}

/* The descriptor belongs to a thread of the library and may be late or early: the bound keeps one busy
 * publisher from holding the loop, the timer brings us back for the rest. */
static void
drain(void *arg)
{
	struct event_subscriber *s = arg;

	s->busy = true;
	for (int i = 0; i < TURN_MAX && !s->dead; i++) {
		char *message = NULL;
		int n = nn_recv(s->socket, &message, NN_MSG, NN_DONTWAIT);

		if (n < 0)
			break;
		deliver(s, message, (size_t)n);
		(void)nn_freemsg(message);
		if (i == TURN_MAX - 1 && !s->dead)
			(void)loop_after(&s->more, s->loop, 0, drain, s);
	}
	s->busy = false;
	if (s->dead)
		free(s);
}

static int
set_options(int socket, const char *prefix)
{
	int least = RETRY_LEAST_MS, most = RETRY_MOST_MS,
	    size = EVENT_TOPIC_MAX + 1 + EVENT_BYTES_MAX;

	if (nn_setsockopt(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL, &least, sizeof(least)) < 0 ||
		nn_setsockopt(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, &most, sizeof(most)) <
			0 ||
		nn_setsockopt(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, &size, sizeof(size)) < 0 ||
		nn_setsockopt(socket, NN_SUB, NN_SUB_SUBSCRIBE, prefix, strlen(prefix)) < 0)
		return FAULT(-nn_errno());
	return 0;
}

int
event_subscribe(struct event_subscriber **ret, sd_event *loop, const char *dir, const char *name,
	const char *prefix, event_fn *fn, void *arg)
{
	SCOPED(event_unsubscribep) struct event_subscriber *s = calloc(1, sizeof(*s));
	char address[ADDRESS_MAX];
	size_t size = sizeof(int);
	int r, fd;

	if (!s)
		return FAULT(-ENOMEM);
	*s = (struct event_subscriber){ .socket = -1, .fn = fn, .arg = arg };
	r = make_address(address, dir, name);
	if (r < 0)
		return r;
	s->socket = nn_socket(AF_SP, NN_SUB);
	if (s->socket < 0)
		return FAULT(-nn_errno());
	r = set_options(s->socket, prefix);
	if (r < 0)
		return r;
	if (nn_connect(s->socket, address) < 0 ||
		nn_getsockopt(s->socket, NN_SOL_SOCKET, NN_RCVFD, &fd, &size) < 0)
		return FAULT(-nn_errno());
	r = loop_watch(&s->watch, loop, fd, EPOLLIN, on_readable, s);
	if (r < 0)
		return r;
	s->loop = sd_event_ref(loop);
	*ret = STEAL(s);
	return 0;
}

struct event_subscriber *
event_unsubscribe(struct event_subscriber *s)
{
	if (!s)
		return NULL;
	loop_cancel(s->more);
	loop_unwatch(s->watch);
	if (s->socket >= 0)
		(void)nn_close(s->socket);
	sd_event_unref(s->loop);
	s->dead = true;
	if (!s->busy)
		free(s);
	return NULL;
}
