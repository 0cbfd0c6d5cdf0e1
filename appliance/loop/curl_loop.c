#include "appliance/loop/curl_loop.h"

#include <curl/curl.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"

enum {
	DEFAULT_REPLY = 1024 * 1024,
	DEFAULT_CONNECT_MS = 10 * 1000,
	DEFAULT_TIMEOUT_MS = 60 * 1000,
	HEADERS_BYTES_MAX = 64 * 1024, /* of all headers of a reply together */
	CONNECTIONS_MAX = 8,
};

struct curl_loop {
	sd_event *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct curl_transfer *first; /* all under way */
};

struct curl_transfer {
	struct curl_loop *owner; /* NULL: blocking */
	struct curl_transfer **slot;
	struct curl_transfer *next, *prev;
	CURL *easy;
	struct curl_slist *headers;
	uint8_t *body;
	char **want; /* lower case, ends with NULL; NULL: all */
	size_t header_bytes;
	size_t received;
	size_t max_reply;
	int (*sink)(const void *p, size_t len, void *arg);
	void *sink_arg;
	curl_done_fn *done;
	void *arg;
	char error[CURL_ERROR_SIZE];
	struct http_reply reply;
};

/* One socket that libcurl wants to hear of; it is handed to libcurl as the socket's own pointer. */
struct socket {
	struct curl_loop *owner;
	struct loop_watch *watch;
	curl_socket_t fd;
};

/* --- replies ------------------------------------------------------------------------------------------ */
const char *
http_header(const struct http_reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->n_headers; i++)
		if (strcmp(reply->headers[i].name, name) == 0)
			return reply->headers[i].value;
	return NULL;
}

void
http_reply_done(struct http_reply *reply)
{
	for (size_t i = 0; i < reply->n_headers; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	buf_done(&reply->body);
	*reply = (struct http_reply){ 0 };
}

static void
drop_headers(struct http_reply *reply)
{
	for (size_t i = 0; i < reply->n_headers; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	reply->n_headers = 0;
}

static bool
is_wanted(const struct curl_transfer *t, const char *name)
{
	for (char **w = t->want; w && *w; w++)
		if (strcmp(*w, name) == 0)
			return true;
	return !t->want;
}

static void
lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

/* "Name: value\r\n" -> a kept header. */
static int
keep_header(struct curl_transfer *t, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	struct http_header *h;
	const char *value;
	char *name;

	if (!colon || memchr(line, '\0', len))
		return 0;
	name = strndup(line, (size_t)(colon - line));
	if (!name)
		return FAULT(-ENOMEM);
	lower(name);
	if (!is_wanted(t, name)) {
		free(name);
		return 0;
	}
	if (t->reply.n_headers == HTTP_HEADERS_MAX) {
		free(name);
		return t->want ? REASON_TOO_LARGE
			       : 0; /* unasked ones may be lost, named ones not */
	}
	value = colon + 1;
	len -= (size_t)(value - line);
	for (; len > 0 && (*value == ' ' || *value == '\t'); len--)
		value++;
	while (len > 0 && strchr(" \t\r\n", value[len - 1]))
		len--;
	h = &t->reply.headers[t->reply.n_headers];
	h->name = name;
	h->value = strndup(value, len);
	if (!h->value) {
		free(name);
		return FAULT(-ENOMEM);
	}
	t->reply.n_headers++;
	return 0;
}

static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	struct curl_transfer *t = arg;
	size_t len = size * n;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		drop_headers(&t->reply); /* an interim reply (100) came before, or the proxy's */
		return len;
	}
	t->header_bytes += len;
	if (len > HTTP_HEADER_BYTES_MAX || t->header_bytes > HEADERS_BYTES_MAX)
		t->reply.result = REASON_TOO_LARGE;
	else
		t->reply.result = keep_header(t, line, len);
	return t->reply.result ? 0 : len;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct curl_transfer *t = arg;
	size_t len = size * n;

	if (len > t->max_reply - t->received) {
		t->reply.result = REASON_TOO_LARGE;
		return 0;
	}
	t->received += len;
	if (t->sink) {
		t->reply.result = t->sink(p, len, t->sink_arg);
	} else {
		buf_put(&t->reply.body, p, len);
		t->reply.result = buf_error(&t->reply.body);
	}
	return t->reply.result ? 0 : len;
}

/* --- building a transfer ------------------------------------------------------------------------------ */
static struct curl_transfer *
transfer_free(struct curl_transfer *t)
{
	if (!t)
		return NULL;
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	for (char **w = t->want; w && *w; w++)
		free(*w);
	free(t->want);
	free(t->body);
	http_reply_done(&t->reply);
	free(t);
	return NULL;
}
SCOPED_DESTRUCTOR(struct curl_transfer, transfer_free)

static int
add_header(struct curl_transfer *t, const char *line)
{
	struct curl_slist *more;

	if (strpbrk(line, "\r\n"))
		return FAULT(-EINVAL); /* a second header inside the first */
	more = curl_slist_append(t->headers, line);
	if (!more)
		return FAULT(-ENOMEM);
	t->headers = more;
	return 0;
}

static int
copy_lists(struct curl_transfer *t, const struct http_request *req)
{
	size_t n = 0;
	int r = add_header(t, "Expect:"); /* no round trip before the body */

	for (size_t i = 0; r == 0 && req->headers && req->headers[i]; i++)
		r = add_header(t, req->headers[i]);
	if (r < 0 || !req->want_headers)
		return r;
	while (req->want_headers[n])
		n++;
	t->want = calloc(n + 1, sizeof(*t->want));
	if (!t->want)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++) {
		t->want[i] = strdup(req->want_headers[i]);
		if (!t->want[i])
			return FAULT(-ENOMEM);
		lower(t->want[i]);
	}
	return 0;
}

static int
set_body(struct curl_transfer *t, const struct http_request *req)
{
	CURL *e = t->easy;
	CURLcode c = CURLE_OK;

	if (!req->body && strcmp(req->method, "GET") == 0)
		return 0;
	if (!req->body && strcmp(req->method, "HEAD") == 0)
		return curl_easy_setopt(e, CURLOPT_NOBODY, 1L) ? FAULT(-EINVAL) : 0;
	t->body = malloc(req->body_len + 1);
	if (!t->body)
		return FAULT(-ENOMEM);
	if (req->body_len > 0)
		memcpy(t->body, req->body, req->body_len);
	c = curl_easy_setopt(e, CURLOPT_POST, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_POSTFIELDS, (char *)t->body);
	c = c ? c : curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
	c = c ? c : curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
	return c ? FAULT(-EINVAL) : 0;
}

static int
set_options(struct curl_transfer *t, const struct http_request *req)
{
	long connect_ms = req->connect_timeout_ms ? req->connect_timeout_ms : DEFAULT_CONNECT_MS;
	long whole_ms = req->timeout_ms ? req->timeout_ms : DEFAULT_TIMEOUT_MS;
	CURL *e = t->easy;
	CURLcode c;

	c = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, req->allow_http ? "https,http" : "https");
	c = c ? c : curl_easy_setopt(e, CURLOPT_URL, req->url);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	c = c ? c : curl_easy_setopt(e, CURLOPT_PROXY, req->proxy ? req->proxy : "");
	c = c ? c : curl_easy_setopt(e, CURLOPT_NOPROXY, "");
	c = c ? c : curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	c = c ? c : curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, whole_ms);
	c = c ? c : curl_easy_setopt(e, CURLOPT_USERAGENT, "mainstay/" MAINSTAY_VERSION);
	c = c ? c : curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	c = c ? c : curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	if (!c && req->ca_file)
		c = curl_easy_setopt(e, CURLOPT_CAINFO, req->ca_file);
	if (c == CURLE_OUT_OF_MEMORY)
		return FAULT(-ENOMEM);
	return c ? FAULT(-EINVAL) : set_body(t, req);
}

static int
transfer_new(struct curl_transfer **ret, const struct http_request *req)
{
	SCOPED(transfer_freep) struct curl_transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return FAULT(-ENOMEM);
	t->max_reply = req->max_reply ? req->max_reply : DEFAULT_REPLY;
	t->reply.body = BUF_MAX(t->max_reply);
	t->sink = req->sink;
	t->sink_arg = req->sink_arg;
	t->easy = curl_easy_init();
	if (!t->easy)
		return FAULT(-ENOMEM);
	r = copy_lists(t, req);
	r = r ? r : set_options(t, req);
	if (r < 0)
		return r;
	*ret = STEAL(t);
	return 0;
}

/* --- how it ended ------------------------------------------------------------------------------------- */
static void
finish(struct curl_transfer *t, CURLcode code)
{
	struct http_reply *reply = &t->reply;
	curl_off_t used_us = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &reply->status);
	(void)curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &used_us);
	reply->used_ms = (unsigned)(used_us / 1000);
	if (code == CURLE_OK)
		return;
	(void)snprintf(reply->error, sizeof(reply->error), "%s",
		t->error[0] ? t->error : curl_easy_strerror(code));
	if (reply->result)
		return; /* one of our callbacks ended it and said why */
	reply->status = 0;
	if (code == CURLE_OUT_OF_MEMORY)
		reply->result = FAULT(-ENOMEM);
	else if (code == CURLE_FILESIZE_EXCEEDED)
		reply->result = REASON_TOO_LARGE;
	else
		reply->result = REASON_UNREACHABLE;
	reply->tls_failed = code == CURLE_PEER_FAILED_VERIFICATION ||
		code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CACERT_BADFILE ||
		code == CURLE_SSL_ISSUER_ERROR;
}

int
http_perform(const struct http_request *req, struct http_reply *reply)
{
	SCOPED(transfer_freep) struct curl_transfer *t = NULL;
	int r;

	*reply = (struct http_reply){ 0 };
	r = transfer_new(&t, req);
	if (r < 0)
		return reply->result = r;
	finish(t, curl_easy_perform(t->easy));
	*reply = t->reply;
	t->reply = (struct http_reply){ 0 };
	return reply->result;
}

/* --- on the loop -------------------------------------------------------------------------------------- */
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
		finish(t, code);
		unlink_transfer(t); /* forgotten first; msg is gone with it */
		t->done(&t->reply, t->arg);
		transfer_free(t);
	}
}

static void
act(struct curl_loop *c, curl_socket_t fd, int events)
{
	int running;

	(void)curl_multi_socket_action(c->multi, fd, events, &running);
	deliver(c);
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
	return loop_after(&c->timer, c->loop, (uint64_t)ms, on_timer, c) < 0 ? -1 : 0;
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
	if (s)
		return loop_watch_events(s->watch, events) < 0 ? -1 : 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -1;
	*s = (struct socket){ .owner = c, .fd = fd };
	if (loop_watch(&s->watch, c->loop, fd, events, on_socket_ready, s) < 0) {
		free(s);
		return -1;
	}
	return curl_multi_assign(c->multi, fd, s) ? -1 : 0;
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
	SCOPED(transfer_freep) struct curl_transfer *t = NULL;
	int r = transfer_new(&t, req);

	if (r < 0)
		return r;
	t->owner = c;
	t->done = done;
	t->arg = arg;
	/* Arms a timer; nothing of the request happens before the loop's next turn. */
	if (curl_multi_add_handle(c->multi, t->easy))
		return FAULT(-ENOMEM);
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
	return transfer_free(t);
}
