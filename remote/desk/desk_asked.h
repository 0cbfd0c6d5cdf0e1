/* What was asked for, as the engineer who asked signed it: a site's answer is bound to it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct desk;
struct desk_answer;
struct desk_site;
struct request;

/* Open the envelope of request id and verify that an engineer of its customer signed it, as a request or as a dry run.
 * Returns 0 with *ret the caller's; REASON_NOT_FOUND where envelope is none, REASON_ALTERED where it is another
 * request or another's (logged); what envelope, request and people refuse; or a fault. */
int desk_asked_open(struct desk *d, const char *id, const json_t *envelope, bool dry_run, struct request **ret);

/* Get request id from the hub, what was asked and its site verified (desk_trust_refresh() was called); a is made ready for
 * its answers, with a->id borrowed from id.  *ret_doc is the hub's page, the caller's like all else.  Returns 0;
 * REASON_USAGE (logged) for what is no id; as above, as desk_client_get() and desk_trust_site(); or a fault. */
int desk_asked_get(struct desk *d, const char *id, json_t **ret_doc, struct request **ret, struct desk_site *ret_site,
	struct desk_answer *a);

/* Keys and digest for the answers to q, of site. */
void desk_asked_ready(struct desk_answer *a, const struct request *q, const struct desk_site *site);
