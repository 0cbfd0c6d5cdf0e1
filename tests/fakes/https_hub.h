/* A hub on a free port of loopback, in a process of its own: TLS by a CA of its own, replies signed by its own key, and
 * what else the test tells it to answer, the lies of proxies above all.  A request that is not signed gets shared->status
 * and body, plain, as a witness answers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/trust/ed25519.h"
#include "tests/fakes/scratch.h"

enum https_hub_says {
	HTTPS_HUB_YES,	      /* 200, signed, Mainstay-Committed: the sequence; the status in shared->status instead */
	HTTPS_HUB_CLOCK,      /* the same, but 401 where created or expires do not fit shared->now_s */
	HTTPS_HUB_BARE,	      /* 200 and nothing else: a proxy that is being nice */
	HTTPS_HUB_PORTAL,     /* 200 with a page */
	HTTPS_HUB_MOVED,      /* 302 to a login page */
	HTTPS_HUB_REPLAY,     /* signed over another nonce */
	HTTPS_HUB_RESTATUS,   /* signed as 503, sent as 200 */
	HTTPS_HUB_REBODY,     /* signed over another body of the same length */
	HTTPS_HUB_RECOMMIT,   /* signed over another Mainstay-Committed */
	HTTPS_HUB_UNCOMMIT,   /* signed without Mainstay-Committed, sent with it */
	HTTPS_HUB_STRANGER,   /* signed by another key */
	HTTPS_HUB_UNDIGESTED, /* signed, the Content-Digest cut out */
	HTTPS_HUB_SHORT,      /* breaks off in the body */
	HTTPS_HUB_SILENT,     /* closes without a word */
	HTTPS_HUB_RESET,      /* the same, by a reset */
	HTTPS_HUB_SLOW,	      /* as HTTPS_HUB_YES, byte by byte, over a second and a half */
	HTTPS_HUB_SAYS_MAX
};

enum { HTTPS_HUB_SCRIPT_MAX = 1024 };

/* In memory that both processes see. */
struct https_hub_shared {
	enum https_hub_says says;
	int status;	      /* 0: 200 */
	uint64_t retry_after; /* 0: not said */
	char body[1024];      /* of the reply */
	char headers[256];    /* more header lines of it, each with its CRLF */
	uint64_t now_s;	      /* the hub's clock */
	unsigned requests;    /* that came whole */
	char head[16384];     /* of the last one */
	char content[65536];
	size_t content_len;
	uint64_t created_s; /* of its signature */
	/* What it says to the first n_script requests, each its own; to the later ones what the last left. */
	struct {
		enum https_hub_says says;
		int status;
	} script[HTTPS_HUB_SCRIPT_MAX];
	unsigned n_script;
};

struct https_hub {
	struct https_hub_shared *shared;
	struct ed25519 *key; /* the hub's reply key */
	char url[64];
	char ca_file[128];
	pid_t pid;
};

/* Certificates are kept in dir.  host: what the certificate is for ("127.0.0.1" to be believed). */
void https_hub_start(struct https_hub *h, const struct scratch *dir, const char *host);
void https_hub_stop(struct https_hub *h);

/* A header of the last request, "" where it has none. */
const char *https_hub_got(const struct https_hub *h, const char *name);
