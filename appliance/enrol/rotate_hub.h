/* The hub's end of key rotation: a route, a table and a part of a site's page, of the module enrol_routes. */
#pragma once

#include <jansson.h>

struct buf;
struct databases;
struct db;
struct http_call;
struct registry_site;

/* Step of fleet.db: the rotations of each site since its record. */
extern const char rotate_hub_schema[];

/* Judge a request and, where it is good, swap site key and courier's key in one transaction.  The same rotation again
 * is answered again.  *ret_answer is the caller's.  Returns 0; what rotate_open() and enrol_hub_daemon() refuse;
 * REASON_UNKNOWN_KEY (it is not the site's key that signed), REASON_REPLAYED (a former key of it),
 * REASON_NOT_APPROVED (no record yet) (logged); or a fault. */
int rotate_hub_take(struct databases *d, const void *body, size_t len, json_t **ret_answer);

/* POST /v1/rotate.  state is the struct serve. */
int rotate_hub_post(struct http_call *call, void *state);

/* "rotations" of a site's page. */
int rotate_hub_page(struct db *fleet, const struct registry_site *site, json_t *page);
/* A new site record vouches for the present key: the way to it is needed no more.  In the caller's transaction. */
int rotate_hub_forget(struct db *fleet, const char *site);
