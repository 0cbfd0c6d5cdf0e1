#include "appliance/serve/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/reactor.h"

enum {
	BACKLOG = 512,
	IDLE_S = 75, /* longer than nginx keeps an idle connection to us, and than the longest poll */
};

/* One request until it is answered. */
struct call {
	struct http_call pub;
	struct http_server *server;
	struct evhttp_request *req;
	struct httpsig_header headers[HTTP_SERVER_HEADERS_MAX];
	char *names; /* the headers' names in lower case, one after another */
	char *path;
	char *query; /* into path's allocation */
	void (*gone)(void *arg);
	void *gone_arg;
	struct call *next, **at; /* the server's list */
};

struct http_server {
	struct evhttp *http;
	struct http_server_ops ops;
	void *arg;
	uid_t uids[HTTP_SERVER_UIDS_MAX];
	size_t n_uids;
	struct call *calls;
	size_t inflight;
};

static struct call *
call_free(struct call *c)
{
	if (!c)
		return NULL;
	if (c->at) {
		*c->at = c->next;
		if (c->next)
			c->next->at = c->at;
		c->server->inflight--;
	}
	free(c->names);
	free(c->path);
	free(c);
	return NULL;
}

SCOPED_DESTRUCTOR(struct call, call_free)

static struct call *
call_of(const struct http_call *pub)
{
	return (struct call *)((char *)(uintptr_t)pub - offsetof(struct call, pub));
}

/* The peer went away before the answer: evhttp frees its request, we forget ours. */
static void
on_close(struct evhttp_connection *connection, void *arg)
{
	struct call *c = arg;

	(void)connection;
	if (c->gone)
		c->gone(c->gone_arg);
	call_free(c);
}

/* A header that a signature covers, or that frames the body, stands at most once. */
static bool
only_once(const char *name)
{
	static const char *const names[] = { "host", "content-length", "content-type", "content-encoding",
		"content-digest", "signature", "signature-input", "mainstay-stream", "mainstay-sequence",
		"mainstay-nonce", "transfer-encoding", "authorization" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static int
read_headers(struct call *c, struct evkeyvalq *in)
{
	struct evkeyval *kv;
	size_t bytes = 0, n = 0;
	char *at;

	TAILQ_FOREACH(kv, in, next) {
		bytes += strlen(kv->key) + 1;
		n++;
	}
	if (n > HTTP_SERVER_HEADERS_MAX)
		return REFUSE(REASON_TOO_LARGE, "headers", "%zu of them, at most %d", n, HTTP_SERVER_HEADERS_MAX);
	at = c->names = malloc(bytes + 1);
	if (!at)
		return FAULT(-ENOMEM);
	TAILQ_FOREACH(kv, in, next) {
		char *name = at;

		for (const char *k = kv->key; *k; k++)
			*at++ = (char)(*k >= 'A' && *k <= 'Z' ? *k + ('a' - 'A') : *k);
		*at++ = '\0';
		if (only_once(name) && http_call_get(&c->pub, name))
			return REFUSE(REASON_MALFORMED, name, "stands twice");
		c->headers[c->pub.n_headers++] = (struct httpsig_header){ name, kv->value };
	}
	return 0;
}

static int
check_frame(struct call *c)
{
	const char *length = http_call_get(&c->pub, "content-length");
	const char *host = http_call_get(&c->pub, "host");

	if (!host || host[0] == '\0')
		return REFUSE(REASON_MALFORMED, "host", "is missing");
	/* The front has the whole body before it calls us, so it always tells a length. */
	if (http_call_get(&c->pub, "transfer-encoding"))
		return REFUSE(REASON_MALFORMED, "transfer-encoding", "is not taken here");
	if (length && (length[0] == '\0' || strspn(length, "0123456789") != strlen(length)))
		return REFUSE(REASON_MALFORMED, "content-length", "is no number");
	if (length && strtoull(length, NULL, 10) != c->pub.body_len)
		return REFUSE(REASON_MALFORMED, "content-length", "is not the body's");
	return 0;
}

static int
read_target(struct call *c, const char *uri)
{
	size_t len = strlen(uri);
	char *question;

	if (len == 0 || uri[0] != '/' || len > HTTP_SERVER_TARGET_MAX)
		return REFUSE(REASON_MALFORMED, "target", "is no path of at most %d bytes", HTTP_SERVER_TARGET_MAX);
	for (size_t i = 0; i < len; i++)
		if (uri[i] <= 0x20 || uri[i] >= 0x7f || uri[i] == '#')
			return REFUSE(REASON_MALFORMED, "target", "byte %zu cannot stand in a target", i + 1);
	c->path = strdup(uri);
	if (!c->path)
		return FAULT(-ENOMEM);
	question = strchr(c->path, '?');
	c->pub.has_query = question != NULL;
	if (question)
		*question = '\0';
	c->pub.target = uri;
	c->pub.path = c->path;
	c->pub.query = question ? question + 1 : "";
	return 0;
}

static const char *
method_of(const struct evhttp_request *req)
{
	switch (evhttp_request_get_command(req)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	default:
		return "OTHER";
	}
}

static int
check_peer(const struct http_server *s, struct evhttp_connection *connection)
{
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return FAULT(-errno);
	for (size_t i = 0; i < s->n_uids; i++)
		if (s->uids[i] == peer.uid)
			return 0;
	return REFUSE(REASON_WRONG_ROLE, "peer", "uid %u may not speak here", peer.uid);
}

static int
call_read(struct call *c)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(c->req);
	int r;

	c->pub.method = method_of(c->req);
	c->pub.path = "";
	c->pub.query = "";
	c->pub.headers = c->headers;
	c->pub.body_len = evbuffer_get_length(body);
	c->pub.body = evbuffer_pullup(body, -1);
	if (c->pub.body_len > 0 && !c->pub.body)
		return FAULT(-ENOMEM);
	r = check_peer(c->server, evhttp_request_get_connection(c->req));
	if (r == 0)
		r = read_headers(c, evhttp_request_get_input_headers(c->req));
	if (r == 0)
		r = check_frame(c);
	if (r == 0)
		r = read_target(c, evhttp_request_get_uri(c->req));
	return r;
}

static void
on_request(struct evhttp_request *req, void *arg)
{
	struct http_server *s = arg;
	struct call *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		evhttp_send_error(req, 503, NULL);
		return;
	}
	c->server = s;
	c->req = req;
	c->next = s->calls;
	c->at = &s->calls;
	if (c->next)
		c->next->at = &c->next;
	s->calls = c;
	s->inflight++;
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, c);
	r = call_read(c);
	if (r != 0)
		problem_reply(&c->pub, r, 0);
	else
		s->ops.dispatch(&c->pub, s->arg);
}

static int
listen_at(int *ret_fd, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	SCOPED(scope_close) int fd = -1;

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >= sizeof(address.sun_path))
		return FAULT(-ENAMETOOLONG);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return FAULT(-errno);
	if (unlink(path) < 0 && errno != ENOENT)
		return FAULT(-errno);
	/* The folder keeps strangers out until the mode is set. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0660) < 0 ||
		listen(fd, BACKLOG) < 0)
		return FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
http_server_open(struct http_server **ret, struct reactor *reactor, const char *path, const uid_t *uids,
	size_t n_uids, const struct http_server_ops *ops, void *arg)
{
	struct http_server *s;
	int fd = -1, r;

	if (n_uids > HTTP_SERVER_UIDS_MAX)
		return FAULT(-EINVAL);
	s = calloc(1, sizeof(*s));
	if (!s)
		return FAULT(-ENOMEM);
	s->ops = *ops;
	s->arg = arg;
	memcpy(s->uids, uids, n_uids * sizeof(*uids));
	s->n_uids = n_uids;
	s->http = evhttp_new(reactor_base(reactor));
	if (!s->http) {
		http_server_close(s);
		return FAULT(-ENOMEM);
	}
	evhttp_set_max_headers_size(s->http, HTTP_SERVER_HEADER_BYTES_MAX);
	evhttp_set_max_body_size(s->http, HTTP_SERVER_BODY_MAX + 64 * 1024);
	evhttp_set_timeout(s->http, IDLE_S);
	evhttp_set_default_content_type(s->http, NULL);
	evhttp_set_allowed_methods(s->http,
		EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE);
	evhttp_set_gencb(s->http, on_request, s);
	r = listen_at(&fd, path);
	if (r == 0) {
		struct evhttp_bound_socket *at = evhttp_accept_socket_with_handle(s->http, fd);

		/* The socket is evhttp's from here on.  Whether it is listened at, it does not look: asked again, that tells. */
		if (!at) {
			(void)close(fd);
			r = FAULT(-ENOMEM);
		} else if (evconnlistener_enable(evhttp_bound_socket_get_listener(at)) < 0) {
			r = FAULT(-ENOMEM);
		}
	}
	if (r < 0) {
		http_server_close(s);
		return FAULT(r);
	}
	*ret = s;
	return 0;
}

struct http_server *
http_server_close(struct http_server *s)
{
	if (!s)
		return NULL;
	if (s->http)
		evhttp_free(s->http); /* on_close() runs for each open call */
	free(s);
	return NULL;
}

size_t
http_server_inflight(const struct http_server *s)
{
	return s->inflight;
}

const char *
http_call_get(const struct http_call *call, const char *name)
{
	for (size_t i = 0; i < call->n_headers; i++)
		if (strcmp(call->headers[i].name, name) == 0)
			return call->headers[i].value;
	return NULL;
}

void
http_call_header(struct http_call *call, const char *name, const char *value)
{
	/* It fails only for want of memory or for line breaks, which no value of ours has. */
	(void)evhttp_add_header(evhttp_request_get_output_headers(call_of(call)->req), name, value);
}

const char *
http_call_added(const struct http_call *call, const char *name)
{
	return evhttp_find_header(evhttp_request_get_output_headers(call_of(call)->req), name);
}

void
http_call_reply(struct http_call *call, int status, const char *type, const void *body, size_t len)
{
	SCOPED(call_freep) struct call *c = call_of(call);
	struct evbuffer *out = evbuffer_new();

	evhttp_connection_set_closecb(evhttp_request_get_connection(c->req), NULL, NULL);
	if (!out || (len > 0 && evbuffer_add(out, body, len) < 0)) {
		if (out)
			evbuffer_free(out);
		evhttp_send_error(c->req, 503, NULL);
		return;
	}
	if (type)
		http_call_header(call, "Content-Type", type);
	http_call_header(call, "Cache-Control", "no-store");
	if (call->nonce[0] != '\0')
		c->server->ops.sign(call, status, body, len, c->server->arg);
	c->server->ops.done(call, status, c->server->arg);
	evhttp_send_reply(c->req, status, NULL, out);
	evbuffer_free(out);
}

void
http_call_on_gone(struct http_call *call, void (*gone)(void *arg), void *arg)
{
	struct call *c = call_of(call);

	c->gone = gone;
	c->gone_arg = arg;
}
