/* The hub's HTTP service: modules bring tables and routes, this finds the route, checks the signature,
 * calls the handler, answers refusals, signs replies and counts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/serve/databases.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/route.h"

struct buf;
struct reactor;
struct serve;

enum { SERVE_MODULES_MAX = 16, SERVE_NAME_MAX = 64, SERVE_URL_MAX = 256 };

/* What a room of the hub is made of.  Registered by the program's main. */
struct serve_module {
	const char *name;
	const struct db_migration *fleet; /* may be NULL */
	const struct db_migration *customer; /* may be NULL */
	const struct route *routes;
	size_t n_routes;
	/* Build the module's state; serve is complete but not yet listening.  May be NULL. */
	int (*open)(void **ret_state, struct serve *serve);
	void (*close)(void *state);
	/* End long polls: the service stops. */
	void (*drain)(void *state);
	/* Every minute: sweep what is old. */
	void (*tick)(void *state, uint64_t now_us);
	/* Append Prometheus text. */
	void (*metrics)(void *state, struct buf *out);
};

struct serve_config {
	const char *dir;    /* the hub's state folder: db below it */
	const char *socket; /* path of the UNIX socket */
	const char *name;   /* of the hub, signs checkpoints and logins */
	const char *url;    /* https://ADDR:PORT */
	const char *repo;   /* folder of the static files; "" where there is none */
	uint8_t reply_seed[32];
	uint8_t witness_seed[32];
	uint8_t director_seed[32];
	const struct serve_module *const *modules; /* ends with NULL; borrowed */
};

/* Open the databases, migrate, open each module in order, listen.  Returns 0, REASON_CONFLICT (logged) where
 * the files are newer than the program, or a fault. */
int serve_open(struct serve **ret, struct reactor *reactor, const struct serve_config *config);
struct serve *serve_close(struct serve *s);
SCOPED_DESTRUCTOR(struct serve, serve_close)

/* Finish: no new connections, parked calls are answered. */
void serve_drain(struct serve *s);
size_t serve_inflight(const struct serve *s);

struct reactor *serve_reactor(struct serve *s);
struct databases *serve_databases(struct serve *s);
const struct serve_config *serve_config(const struct serve *s);
const char *serve_authority(const struct serve *s); /* "ADDR:PORT" of url */

/* All counters as Prometheus text: requests, refusals, batches, then each module's. */
void serve_metrics(struct serve *s, struct buf *out);

/* The modules' routes, for nginx's configuration. */
size_t serve_routes(const struct serve_module *const *modules, const struct route **out, size_t max);

/* Answer with JSON; consumes take_obj. */
struct json_t;
int serve_reply_json(struct http_call *call, int status, struct json_t *take_obj);
