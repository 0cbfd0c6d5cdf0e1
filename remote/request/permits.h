/* The message with which a site says which standing permits it has: what an engineer may do there without asking anybody
 * again.  It grants nothing: what counts is what an approver signed, which never leaves the site.
 *
 * A later one takes the place of all before: of the same epoch that with the higher counter.  Of a former epoch none counts,
 * for a standing permit is for one life of the site. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum {
	PERMITS_MAX = 64,	 /* in one message */
	PERMITS_LINES_MAX = 32,	 /* arguments of one */
	PERMITS_LINE_MAX = 256,	 /* bytes of an argument's line, or of the limits */
	PERMITS_BYTES_MAX = 192 * 1024, /* all of the list, as text */
};

/* One of them.  Texts are lines of the plan that was signed. */
struct permits_item {
	const char *id, *service, *operation, *engineer, *approver;
	const char *limits;	 /* "10.000 s, 64 MiB of memory, ..." */
	json_t *arguments;	 /* lines "NAME = VALUE" */
	uint64_t not_before_us, expires_us;
	uint64_t uses, left;	 /* so often in all, and from now on */
};

struct permits {
	const char *site;
	const char *epoch;
	uint64_t counter; /* from 1 */
	uint64_t time_us;
	uint64_t more;	  /* so many more there are, for which there was no room */
	struct permits_item items[PERMITS_MAX];
	size_t n_items;
	json_t *doc; /* owned; everything else is borrowed from it */
};

/* Read the payload of an envelope that was verified.  Returns 0 with *ret the caller's, REASON_MALFORMED or
 * REASON_UNKNOWN_FIELD (logged), or a fault. */
int permits_parse(struct permits **ret, const json_t *payload);
struct permits *permits_free(struct permits *p);
SCOPED_DESTRUCTOR(struct permits, permits_free)

/* The payload, to be sealed by the site key; items are as permits_item_json() makes them.  *ret is the caller's. */
int permits_json(json_t **ret, const struct permits *p, json_t *items);
/* One of the list; *ret is the caller's.  Returns 0 or a fault. */
int permits_item_json(json_t **ret, const struct permits_item *item);
