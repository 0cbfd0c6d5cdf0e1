/* The table of routes: method, pattern, who may call, how big a body may be, who handles it. */
#pragma once

#include <stddef.h>

struct http_call;

enum route_who {
	ROUTE_OPEN,     /* anybody; the handler checks what it needs */
	ROUTE_SITE,     /* signed by the courier of an accepted site */
	ROUTE_ENGINEER, /* signed by the key of an engineer's login */
};

enum route_flag {
	ROUTE_OTLP = 1 << 0,  /* refusals are google.rpc.Status in protobuf */
	ROUTE_LOCAL = 1 << 1, /* passed on by nginx from loopback only */
	ROUTE_POLL = 1 << 2,  /* may be parked for up to a minute */
	ROUTE_BEARER = 1 << 3, /* for who bears a token, too: call->who.kind tells */
	ROUTE_PENDING = 1 << 4, /* for a site that no engineer has accepted yet, too */
};

/* Handle a call.  Returns 0 where it was answered or parked; an enum reason (logged) or a fault where
 * it was not: serve.c then answers for it. */
typedef int route_fn(struct http_call *call, void *state);

struct route {
	const char *method;
	const char *pattern;  /* "/v1/fleet/sites/{}/record": {} is one segment, not empty, percent-decoding refused */
	enum route_who who;
	size_t body_max;      /* 0: no body at all */
	route_fn *handle;
	unsigned flags;
};

/* Find the route of a call among n tables and fill call->route and call->segments.  *ret_table is the
 * index of its table.  Returns 0 or REASON_NOT_FOUND (logged; the text tells a wrong method from a wrong path). */
struct route_table {
	const struct route *routes;
	size_t n;
};
int route_find(struct http_call *call, const struct route_table *tables, size_t n_tables,
	size_t *ret_table);
