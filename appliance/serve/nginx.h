/* nginx in front: its configuration is generated from the table of routes, checked with `nginx -t`, and in
 * development nginx runs as our child (it dies with us and is restarted when it dies). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/serve/route.h"

struct reactor;
struct nginx;

struct nginx_config {
	const char *dir;    /* nginx's own folder below the hub's state: conf, pid, logs, temporary bodies */
	const char *state;  /* the hub's state folder: server.pem, server.key */
	const char *socket; /* the hub's UNIX socket */
	const char *listen; /* "127.0.0.1:8443" or "[::1]:8443" */
	const char *repo;   /* static files; "" for none */
	const struct route *const *routes;
	size_t n_routes;
};

/* Write the configuration below dir and check it.  Blocks for the check; one that is killed is begun again, twice
 * at most.  Returns 0; REASON_NOT_FOUND (logged) where there is no nginx; REASON_CONFLICT (logged) where nginx
 * refuses it; REASON_INTERRUPTED (logged) where each check was killed; or a fault. */
int nginx_install(const struct nginx_config *config);

/* Run it as a child until nginx_quit(); it is started again with backoff when it ends.  One that was left below dir by
 * a hub that was killed is ended first: the folder is ours alone. */
int nginx_start(struct nginx **ret, struct reactor *reactor, const struct nginx_config *config);
/* Ask it to quit: it takes no new connections, ends those it has, and is not started again. */
void nginx_quit(struct nginx *n);
bool nginx_running(const struct nginx *n);
/* It runs and has its port. */
bool nginx_ready(const struct nginx *n);
struct nginx *nginx_stop(struct nginx *n); /* kills it where it still runs; NULL is taken */
