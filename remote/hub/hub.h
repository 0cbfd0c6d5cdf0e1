/* The hub, assembled: its state folder, its keys, and the run of service and front.
 *
 *	D/hub.json            name, listen, repo as `init` fixed them
 *	D/reply.key witness.key director.key    0600
 *	D/ca.pem ca.key server.pem server.key   TLS of development
 *	D/lock                held while it runs
 *	D/fleet.db customers/NAME.db            databases.h
 *	D/trust/              TUF metadata that the hub itself verified
 *	D/nginx/              the front's configuration, logs, temporary bodies
 *	D/http.sock           where the front reaches us */
#pragma once

#include <stdint.h>

#include "appliance/serve/serve.h"

struct buf;
struct token;

/* Make the state folder: keys, certificates, the port (0: a free one is picked and kept).  What exists is
 * kept, so a second init with the same arguments is harmless; other arguments: REASON_CONFLICT.  facts gets
 * the text of FACTS.  Returns 0; REASON_USAGE, REASON_CONFLICT (logged); or a fault. */
int hub_init(const char *state, const char *name, const char *listen, const char *repo, struct buf *facts);

/* Run until SIGTERM or SIGINT: prints the URL on stdout, writes "READY\n" to ready_fd (-1: not) once front and
 * socket answer.  Returns 0; REASON_CONFLICT (logged) where another hub runs on this state; REASON_NOT_FOUND
 * where it is no hub's folder; or a fault. */
int hub_run(const char *state, const struct serve_module *const *modules, int ready_fd);

/* Open fleet.db of a state folder, migrated, for a command beside a running hub. */
int hub_open_fleet(struct db **ret, const char *state, const struct serve_module *const *modules);

/* GET /metrics /healthz /readyz */
extern const struct serve_module hub_health_module;
