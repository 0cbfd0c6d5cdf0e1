/* What the site says about a request: signed, recorded, handed to the outbox; and the run itself.
 * Part of the module of site_room.h. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "remote/request/site_room.h"

struct request_result;

/* Set item->result (its digest is filled in here) and item->outcome. */
int request_site_set_result(struct monitor *m, struct request_item *item,
	struct request_result *result);

/* Put the item's plan or result into the outbox.  Returns 0, REASON_SWITCHED_OFF or
 * REASON_NO_SPACE, or a fault (logged where the plan is concerned, whose loss holds nothing up). */
int request_site_post(struct monitor *m, const struct request_item *item, const char *kind);
/* A message about one that runs. */
struct progress;
int request_site_post_progress(struct monitor *m, const struct request_item *item, const struct progress *p);
/* Which standing permits there are. */
int request_site_post_permits(struct monitor *m, json_t *envelope);
/* A refused result for a request that has no item. */
int request_site_post_refusal(struct monitor *m, const char *id, const uint8_t digest[32],
	enum reason reason, const char *text);

/* Does the audit log hold such a leaf about this digest? */
bool request_site_has_leaf(struct monitor *m, const char *kind, const uint8_t digest[32]);

/* Run it: the worker for argv, the services' step for a verb.  Its end arrives as FLOW_EVENT_END,
 * later. */
int request_site_run(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g);
/* After a crash: where its program had ended, watch its service's health anew, to the same end.  Returns 0; REASON_NOT_FOUND
 * (unlogged) where it had not; or a fault. */
int request_site_run_on(struct request_site *s, struct request_item *item);
/* It could not even begin. */
void request_site_ended(struct request_site *s, struct request_item *item, int r);
void request_site_cancel(struct request_item *item);
