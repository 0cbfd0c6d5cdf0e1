#include "appliance/loop/curl_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "appliance/base/fault.h"
#include "appliance/loop/curl_transfer.h"
#include "appliance/loop/loop.h"

enum { CONNECTIONS_MAX = 8 };

struct curl_loop {
	sd_event *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct curl_transfer *first; /* all under way */
	/* A callback found no memory: something is not listened to that libcurl waits for, and all that is under way is to
	 * end.  It is not told: it would end some of it only, and keep pointers to what it ended. */
	bool wanting;
};

/* One socket that libcurl wants to hear of; it is handed to libcurl as the socket's own pointer. */
struct socket {
	struct curl_loop *owner;
	struct loop_watch *watch;
	curl_socket_t fd;
};

static void
unlink_transfer(struct curl_transfer *t)
{
	if (t->slot)
		*t->slot = NULL;
	if (t->prev)
		t->prev->next = t->next;
	else if (t->owner->first == t)
		t->owner->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	(void)curl_multi_remove_handle(t->owner->multi, t->easy);
}

static void
end(struct curl_transfer *t, CURLcode code)
{
	curl_reply_finish(t, code);
	unlink_transfer(t); /* forgotten first */
	t->done(&t->reply, t->arg);
	curl_transfer_free(t);
}

static void
deliver(struct curl_loop *c)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left))) {
		struct curl_transfer *t = NULL;
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		end(t, code); /* msg is gone with it */
	}
}

static void
give_up(struct curl_loop *c)
{
	struct curl_transfer *t;

	for (t = c->first; t; t = t->next)
		t->given_up = true;
	c->wanting = false;
	/* From the first each time: a done function may start some and cancel others. */
	do {
		for (t = c->first; t && !t->given_up; t = t->next)
			;
		if (t)
			end(t, CURLE_OUT_OF_MEMORY);
	} while (t);
}

static void
act(struct curl_loop *c, curl_socket_t fd, int events)
{
	int running;

	(void)curl_multi_socket_action(c->multi, fd, events, &running);
	deliver(c);
	if (c->wanting)
		give_up(c);
}

static void
on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
on_timeout_change(CURLM *multi, long ms, void *arg)
{
	struct curl_loop *c = arg;

	(void)multi;
	if (ms < 0) {
		loop_cancel(c->timer);
		return 0;
	}
	/* 0 too only arms: calling back into libcurl from here is not allowed. */
	if (loop_after(&c->timer, c->loop, (uint64_t)ms, on_timer, c) < 0)
		c->wanting = true;
	return 0;
}

static void
on_socket_ready(uint32_t revents, void *arg)
{
	struct socket *s = arg;
	int events = (revents & EPOLLIN ? CURL_CSELECT_IN : 0) |
		(revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		(revents & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

	act(s->owner, s->fd, events);
}

static int
watch(struct curl_loop *c, curl_socket_t fd, uint32_t events)
{
	struct socket *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	*s = (struct socket){ .owner = c, .fd = fd };
	r = loop_watch(&s->watch, c->loop, fd, events, on_socket_ready, s);
	if (r == 0 && curl_multi_assign(c->multi, fd, s))
		r = FAULT(-EINVAL);
	if (r < 0) {
		loop_unwatch(s->watch);
		free(s);
	}
	return r;
}

static int
on_socket_change(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct curl_loop *c = arg;
	struct socket *s = socket_arg;
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			loop_unwatch(s->watch);
		free(s);
		(void)curl_multi_assign(c->multi, fd, NULL);
		return 0;
	}
	if ((s ? loop_watch_events(s->watch, events) : watch(c, fd, events)) < 0)
		c->wanting = true;
	return 0;
}

int
curl_loop_new(struct curl_loop **ret, sd_event *loop)
{
	SCOPED(curl_loop_freep) struct curl_loop *c = calloc(1, sizeof(*c));
	CURLMcode m;

	if (!c)
		return FAULT(-ENOMEM);
	c->loop = sd_event_ref(loop);
	c->multi = curl_multi_init();
	if (!c->multi)
		return FAULT(-ENOMEM);
	m = curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
	m = m ? m : curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	m = m ? m : curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
	m = m ? m : curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	m = m ? m : curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
	if (m)
		return FAULT(-EINVAL);
	*ret = STEAL(c);
	return 0;
}

struct curl_loop *
curl_loop_free(struct curl_loop *c)
{
	if (!c)
		return NULL;
	while (c->first)
		curl_loop_cancel(c->first);
	if (c->multi)
		(void)curl_multi_cleanup(c->multi); /* tells us of each socket that goes */
	loop_cancel(c->timer);
	sd_event_unref(c->loop);
	free(c);
	return NULL;
}

int
curl_loop_start(struct curl_transfer **slot, struct curl_loop *c, const struct http_request *req,
	curl_done_fn *done, void *arg)
{
	SCOPED(curl_transfer_freep) struct curl_transfer *t = NULL;
	int r = curl_transfer_new(&t, req);

	if (r < 0)
		return r;
	t->owner = c;
	t->done = done;
	t->arg = arg;
	if (!c->first)
		c->wanting = false;
	/* Arms a timer; nothing of the request happens before the loop's next turn. */
	if (curl_multi_add_handle(c->multi, t->easy) || c->wanting) {
		/* The others still have a timer, by which they are given up. */
		(void)curl_multi_remove_handle(c->multi, t->easy);
		return FAULT(-ENOMEM);
	}
	curl_loop_cancel(*slot);
	t->next = c->first;
	if (c->first)
		c->first->prev = t;
	c->first = t;
	t->slot = slot;
	*slot = STEAL(t);
	return 0;
}

struct curl_transfer *
curl_loop_cancel(struct curl_transfer *t)
{
	if (!t)
		return NULL;
	unlink_transfer(t);
	return curl_transfer_free(t);
}
