/* The hub's state folder:
 *
 *	D/hub.json            name, listen, repo as `init` fixed them
 *	D/reply.key witness.key director.key    0600
 *	D/ca.pem ca.key server.pem server.key   TLS of development
 *	D/lock                held while it runs
 *	D/fleet.db customers/NAME.db            serve/databases.h
 *	D/trust/              TUF metadata that the hub itself verified
 *	D/nginx/              the front's configuration, logs, temporary bodies
 *	D/http.sock           where the front reaches us */
#pragma once

#include <limits.h>

#include "appliance/serve/serve.h"
#include "appliance/trust/ed25519.h"

struct buf;

struct hub_state {
	char dir[PATH_MAX];    /* absolute */
	int dir_fd;
	int lock_fd;
	char name[SERVE_NAME_MAX];
	char listen[SERVE_URL_MAX]; /* "127.0.0.1:8443" */
	char url[SERVE_URL_MAX];
	char repo[PATH_MAX];   /* absolute */
	struct ed25519 *reply, *witness, *director;
};
void hub_state_done(struct hub_state *s);

/* Make the folder: keys, certificates, the port (0: a free one is picked and kept).  What exists is kept, so a
 * second init with the same arguments is harmless; other arguments: REASON_CONFLICT.  Appends the text of FACTS.
 * Returns 0; REASON_USAGE, REASON_CONFLICT (logged); or a fault. */
int hub_state_init(const char *dir, const char *name, const char *listen, const char *repo, struct buf *facts);

/* Load it; certificates that run out are renewed.  Returns 0, REASON_NOT_FOUND or REASON_MALFORMED (logged), or a
 * fault. */
int hub_state_open(struct hub_state *ret, const char *dir);

/* Hold the folder for one running hub.  REASON_CONFLICT (logged) where another does. */
int hub_state_lock(struct hub_state *s);
