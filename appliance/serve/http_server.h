/* HTTP on a UNIX socket behind nginx: libevent's evhttp, and the only file that includes it.
 *
 * nginx has already refused what is malformed; what is cheap is checked again here, since the daemon
 * must not depend on its front: the peer's uid, one Host, one Content-Length, no Transfer-Encoding, no
 * repeated header that a signature covers.
 *
 * Each request becomes one struct http_call, given to dispatch() once.  It is answered exactly once, by
 * http_call_reply(), at once or later (parked); after that the call is gone.  Where the peer goes away
 * first, gone() runs (if it was set) and the call is gone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/serve/query.h"
#include "appliance/trust/httpsig.h"

struct reactor;
struct http_server;
struct route;

enum {
	HTTP_SERVER_HEADERS_MAX = 64,
	HTTP_SERVER_HEADER_BYTES_MAX = 32 * 1024,
	HTTP_SERVER_BODY_MAX = 64 * 1024 * 1024,
	HTTP_SERVER_TARGET_MAX = 2048,
	HTTP_SERVER_SEGMENTS_MAX = 4,
	HTTP_SERVER_SEGMENT_MAX = 128,
	HTTP_SERVER_UIDS_MAX = 4,
};

/* Who signed the request: filled by auth.c, kind AUTH_NOBODY before; or who bears a token (bearer.c). */
enum auth_kind { AUTH_NOBODY, AUTH_SITE, AUTH_ENGINEER, AUTH_SENDER };
struct auth_identity {
	enum auth_kind kind;
	char keyid[65]; /* of a sender: its token's id */
	uint8_t key[32];
	char customer[65]; /* of a site or sender: the one customer; of an engineer: "" (see customers) */
	char site[65];
	char engineer[128];
	char customers[1024]; /* engineer: ",c1,c2," of this login; ",*," for every customer */
	char ssh_key[1024];      /* engineer: "ssh-ed25519 AAAA..." that signed the login */
	int64_t clock_offset_ms; /* the signer's clock less ours, from `created` */
};

struct http_call {
	const char *method; /* "GET" */
	const char *target; /* as sent: path and query */
	const char *path;   /* as sent, without the query; starts with '/' */
	const char *query;  /* as sent, without '?'; "" where there was none */
	bool has_query;     /* there was a '?' */
	const struct httpsig_header *headers; /* names in lower case */
	size_t n_headers;
	const uint8_t *body;
	size_t body_len;

	const struct route *route;  /* once it was found */
	char segments[HTTP_SERVER_SEGMENTS_MAX][HTTP_SERVER_SEGMENT_MAX]; /* what {…} of its pattern matched */
	struct query params;        /* the query, parsed */
	struct auth_identity who;
	char nonce[HTTPSIG_NONCE_MAX]; /* what a signed reply repeats; "" : the reply is not signed */
};

struct http_server_ops {
	/* A request: answer or park it.  Never blocks. */
	void (*dispatch)(struct http_call *call, void *arg);
	/* A reply is about to go: add headers (signature) with http_call_header(). */
	void (*sign)(struct http_call *call, int status, const void *body, size_t len, void *arg);
	/* A reply went, for the counters. */
	void (*done)(const struct http_call *call, int status, void *arg);
};

/* Listen on a new UNIX socket at path (mode 0660; an old socket file there is removed).  Only peers whose
 * uid is in uids[] are answered.  ops and arg must outlive the server. */
int http_server_open(struct http_server **ret, struct reactor *reactor, const char *path,
	const uid_t *uids, size_t n_uids, const struct http_server_ops *ops, void *arg);
/* Closes the listener and every connection; parked calls end with gone(). */
struct http_server *http_server_close(struct http_server *s);

/* Requests not yet answered. */
size_t http_server_inflight(const struct http_server *s);

/* The value of a header (lower-case name), or NULL. */
const char *http_call_get(const struct http_call *call, const char *name);

/* Add a header to the coming reply; name and value are copied. */
void http_call_header(struct http_call *call, const char *name, const char *value);

/* A header added so far, or NULL. */
const char *http_call_added(const struct http_call *call, const char *name);

/* Answer; body is copied, type may be NULL for an empty body.  The call is gone afterwards. */
void http_call_reply(struct http_call *call, int status, const char *type, const void *body, size_t len);

/* Run gone(arg) where the peer leaves before the answer; for calls that are parked. */
void http_call_on_gone(struct http_call *call, void (*gone)(void *arg), void *arg);
