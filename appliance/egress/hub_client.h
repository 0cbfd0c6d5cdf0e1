/* The signed way to the hub: every request by the courier's key, every reply checked by the hub's.
 *
 * RFC 9421 and RFC 9530 in the profile of trust/httpsig.h.  A reply that is not signed over our nonce by
 * the pinned reply key is not the hub's, whatever its status: a proxy's page, a thief's answer.  It counts
 * as unreachable and is tried again.  TLS is checked too, but it is never the identity.
 *
 * A signature holds for five minutes by the hub's clock.  Every answer of the hub, a 401 too, says what time it is
 * there; where that differs by more than a little, the next requests' created and expires are told in its time.  It is
 * used for nothing else: a hub that lies about the time makes its own site's requests fail with itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"

struct curl_loop;
struct hub_client;
struct hub_call;

enum {
	HUB_REPLY_MAX = 4 * 1024 * 1024,
	HUB_URL_MAX = 512,
};

struct hub_config {
	char url[HUB_URL_MAX];      /* "https://hub.example:8443", without a path */
	uint8_t reply_key[ED25519_KEY_LEN];
	char ca_file[HUB_URL_MAX];  /* "" for the system's */
	char proxy[HUB_URL_MAX];    /* "" for none; may hold a name and a password, so never logged */
	uint64_t floor_us;          /* a time certainly past, or 0: loop/tls_dates.h */
};

struct hub_request {
	const char *method;
	const char *path;           /* "/v1/mailbox?after=3&wait=30" */
	const char *content_type;   /* NULL without a body */
	const void *body;
	size_t len;
	const char *coding;         /* that body lies in, "zstd"; NULL: plain */
	const char *stream;         /* Mainstay-Stream and -Sequence; NULL: none */
	uint64_t sequence;
	bool unsigned_reply;        /* a static file: any mirror may serve it, its bytes are checked elsewhere */
	size_t max_reply;           /* 0: HUB_REPLY_MAX */
	unsigned timeout_ms;        /* 0: 60 s */
	int (*sink)(const void *p, size_t len, void *arg); /* as in curl_loop.h, for large static files */
	void *sink_arg;
	uint64_t range_at, range_len; /* with a sink: as in curl_loop.h */
	unsigned min_rate, min_rate_s; /* as there */
	bool gzip;
};

/* Lent for the time of the callback. */
struct hub_reply {
	int status;                 /* whatever the hub answered, errors too */
	const void *body;
	size_t len;
	bool has_committed;
	uint64_t committed;         /* Mainstay-Committed */
	uint64_t retry_after_s;     /* retry.h; 0: not said */
	const char *accept_encoding; /* NULL: not said */
	char reason[40];            /* "reason" of a problem body; "" */
	/* What another process needs to check the signature itself. */
	const char *signature_input, *signature, *content_digest, *committed_text;
	char nonce[80];
};

/* r: 0 with a reply; REASON_UNREACHABLE: no answer, or none of the hub's (why says it, nothing was logged as
 * an error); REASON_TOO_LARGE; what sink returned; or a fault. */
typedef void hub_done_fn(int r, const struct hub_reply *reply, const char *why, void *arg);

/* key is borrowed and outlives the client.  config is copied. */
int hub_client_new(struct hub_client **ret, sd_event *loop, const struct hub_config *config,
	const struct ed25519 *key);
struct hub_client *hub_client_free(struct hub_client *h); /* cancels its calls */
void hub_client_floor(struct hub_client *h, uint64_t floor_us); /* from the next request on */

/* Why the last request had no answer of the hub's: "proxy-auth", "tls", ... of loop/http_trouble.h, "unsigned" for an
 * answer that was not the hub's own; "" where it had one, or before the first. */
const char *hub_client_trouble(const struct hub_client *h);
SCOPED_DESTRUCTOR(struct hub_client, hub_client_free)

/* Send.  done runs exactly once, later, from the loop, unless hub_client_cancel() came first; *slot is NULL
 * again before it runs.  req is copied.  Returns 0 or a fault (done does not run). */
int hub_client_send(struct hub_call **slot, struct hub_client *h, const struct hub_request *req,
	hub_done_fn *done, void *arg);
struct hub_call *hub_client_cancel(struct hub_call *call);
