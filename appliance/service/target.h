/* Exporters of the customer's own, as mainstay.yaml names them:
 *
 *	telemetry:
 *	  scrape:
 *	    - {name: node, url: "http://127.0.0.1:9100/metrics", period: 30s, timeout: 5s}
 *	    - {name: shop, socket: /run/shop/metrics.sock, path: /metrics, fallback: text}
 *
 * A host is an address (nobody here asks a resolver), or localhost, which is 127.0.0.1 or else [::1].  What is said of
 * other hosts goes over the wire as it is: plain http.  The collector reads them to ask; the monitor, through the judge,
 * to know what the collector may be connected to. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct yaml_node;

enum {
	TARGETS_MAX = 16,
	TARGET_NAME_MAX = 64,
	TARGET_PATH_MAX = 255,
	TARGET_ADDRESS_MAX = 45, /* of an address as text */
	TARGET_PERIOD_S_MAX = 3600,
	TARGET_TIMEOUT_S_MAX = 60,
};

struct target {
	char name[TARGET_NAME_MAX + 1];		/* the label "service" of its series */
	char address[TARGET_ADDRESS_MAX + 1];	/* "192.0.2.7", "2001:db8::7"; "": loopback */
	unsigned port;				/* 0: a socket */
	char host[TARGET_ADDRESS_MAX + 16];	/* as the question names it: "[2001:db8::7]:9100" */
	char socket[TARGET_PATH_MAX + 1];	/* absolute; "": a port */
	char path[TARGET_PATH_MAX + 1];		/* "/metrics" */
	char fallback[12];			/* the format where an answer names none: text, openmetrics; "": refused */
	uint64_t period_us, timeout_us;		/* 0: as the collector has it */
	unsigned line, column;
};

/* Read the list telemetry.scrape; file names it in refusals.  Two of one name, and names that are the host's or ours, are
 * none.  Returns 0 with *ret_n of out; or REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged with file:line:col). */
int target_read(struct target out[TARGETS_MAX], size_t *ret_n, const struct yaml_node *list, const char *file);

/* The same of a whole mainstay.yaml, as the judge hands it on: {"NAME": {"address", "port"}} of those that have a port.
 * Returns 0, as target_read() and yaml_parse(), or a fault. */
int target_json(json_t **ret, const void *p, size_t len, const char *file);
