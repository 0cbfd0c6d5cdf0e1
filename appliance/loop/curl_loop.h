/* HTTPS requests, on the loop for daemons and blocking for commands: the one place that knows libcurl.
 *
 * https only, unless a request says allow_http.  The peer's certificate is always checked.  Redirects
 * are not followed.  A reply is cut off where it passes the request's maximum. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "appliance/loop/http_trouble.h"

enum {
	HTTP_HEADERS_MAX = 32,         /* kept of a reply */
	HTTP_HEADER_BYTES_MAX = 8192,  /* of one of them */
};

/* A mail instead of a request: url is smtp://HOST[:PORT] or smtps://, body the whole message.  The connection is
 * encrypted before anything is said (STARTTLS must be offered), but for plain, for tests on loopback. */
struct http_mail {
	const char *from;      /* addresses alone, no names; the caller has checked them */
	const char *const *to; /* ends with NULL */
	const char *user;      /* NULL: nobody logs in */
	const char *password;
	bool plain;
};

/* Everything is borrowed and copied by the call that takes it, but for sink's argument. */
struct http_request {
	const char *method;             /* "GET", "POST", ... */
	const char *url;
	const struct http_mail *mail;   /* NULL: HTTP.  Else reply.status is the server's last code, also with REASON_UNREACHABLE */
	const char *const *headers;     /* "Name: value", ends with NULL; may be NULL */
	const void *body;               /* may be NULL */
	size_t body_len;
	const char *ca_file;            /* PEM; NULL: the system's */
	const char *proxy;              /* URL; NULL: none, whatever the environment says */
	uint64_t floor_us;              /* a time certainly past, for a clock that is wrong (tls_dates.h); 0: none */
	size_t max_reply;               /* bytes of the body; 0: 1 MiB */
	unsigned connect_timeout_ms;    /* 0: 10 s */
	unsigned timeout_ms;            /* whole request; 0: 60 s */
	unsigned min_rate, min_rate_s;  /* fewer bytes a second for so many seconds end it; 0: any rate will do */
	bool gzip;                      /* the body may come compressed; max_reply and the sink count what is in it.  Not with a range */
	const char *const *want_headers; /* names of reply headers to keep, any case, ends with NULL; NULL: all */
	bool allow_http;                /* http:// too; for tests against repositories on loopback */
	/* Where the body goes instead of the reply's buffer, piece by piece: for large objects.  Returns 0, or
	 * anything else to end the request, which then has that result. */
	int (*sink)(const void *p, size_t len, void *arg);
	void *sink_arg;
	/* With a sink, a part of the body: range_len bytes from range_at on (0: all from there on).  The sink gets these bytes and no
	 * others, from a server that knows no ranges (RFC 9110, 14.2) too, and those of no other status; status is then 206. */
	uint64_t range_at, range_len;
};

struct http_header {
	char *name; /* lower case */
	char *value;
};

struct http_reply {
	/* 0: there is a status and a body; REASON_UNREACHABLE: no answer (error says why);
	 * REASON_TOO_LARGE; what sink returned; or a fault.  Nothing was logged. */
	int result;
	enum http_trouble trouble; /* with REASON_UNREACHABLE */
	long status;     /* 200 ... */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t n_headers;
	struct buf body;
	char error[256];
	unsigned used_ms;
};

/* The first value of a kept header, or NULL.  name in lower case. */
const char *http_header(const struct http_reply *reply, const char *name);
void http_reply_done(struct http_reply *reply);

/* --- on the loop ------------------------------------------------------------------------------------ */
struct curl_loop;     /* connections and requests of one loop */
struct curl_transfer; /* one request under way */

/* reply is lent for the time of the call. */
typedef void curl_done_fn(struct http_reply *reply, void *arg);

int curl_loop_new(struct curl_loop **ret, sd_event *loop);
/* Cancels all that is under way.  Not from within a done function. */
struct curl_loop *curl_loop_free(struct curl_loop *c);
SCOPED_DESTRUCTOR(struct curl_loop, curl_loop_free)

/* Start a request.  done(reply, arg) runs exactly once, later, from the loop, unless curl_loop_cancel()
 * came first; *slot is NULL again before it runs.  Returns 0 or a fault (done does not run). */
int curl_loop_start(struct curl_transfer **slot, struct curl_loop *c, const struct http_request *req,
	curl_done_fn *done, void *arg);
struct curl_transfer *curl_loop_cancel(struct curl_transfer *t); /* empties its slot; NULL is fine */

/* --- blocking, for commands -------------------------------------------------------------------------- */
struct http_line; /* connections that one request leaves to the next; of one thread */

int http_line_new(struct http_line **ret);
struct http_line *http_line_free(struct http_line *line);
SCOPED_DESTRUCTOR(struct http_line, http_line_free)

/* Perform and fill *reply (http_reply_done() it on every path).  line: over a connection that was left to it, where one
 * to the same peer under the same conditions (ca_file, proxy) still stands, and leave it again; NULL: one of its own.
 * Returns reply->result. */
int http_perform(struct http_line *line, const struct http_request *req, struct http_reply *reply);
