/* What the files of the service share; nobody else includes it.
 *
 *	serve.c          from route to reply; the minute's sweep; life; what each module is asked
 *	serve_theirs.c   what an engineer may see
 *	serve_metrics.c  counts, and all counts as Prometheus text */
#pragma once

#include "appliance/serve/db.h"
#include "appliance/serve/serve.h"

enum {
	SERVE_COUNTERS_MAX = 512, /* pairs of route and status */
	SERVE_SCHEMA_MAX = SERVE_MODULES_MAX + 3, /* of the service itself: three */
};

struct serve_counter {
	const struct route *route; /* NULL: no route was found */
	int status;
	uint64_t n;
};

struct serve {
	struct serve_config config;
	char authority[SERVE_URL_MAX];
	struct reactor *reactor;
	struct reactor_source *tick;
	struct databases *databases;
	struct http_server *http;
	struct db_migration fleet[SERVE_SCHEMA_MAX];
	struct db_migration customer[SERVE_SCHEMA_MAX];
	size_t n_fleet, n_customer;
	struct route_table tables[SERVE_MODULES_MAX]; /* one a module, in their order */
	void *states[SERVE_MODULES_MAX];
	size_t n_modules; /* opened so far */
	struct serve_counter counters[SERVE_COUNTERS_MAX];
	size_t n_counters;
};

/* A call was answered: count it by its route and this status.  What comes beyond SERVE_COUNTERS_MAX pairs is not
 * counted. */
void serve_metrics_count(struct serve *s, const struct http_call *call, int status);
