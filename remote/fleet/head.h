/* Heads of the sites' audit logs: the hub as a witness (c2sp.org/tlog-witness), and what it witnessed.
 * Table `heads` of each customer's file; a log is known by its audit key, so a site that begins a new log under its
 * old name begins at nothing. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/serve/db.h"

struct http_call;
struct registry_site;
struct serve;

/* POST /witness/add-checkpoint: the head is on disk before its cosignature leaves. */
int head_add(struct serve *serve, struct http_call *call);

/* GET /witness/{sha256 of the origin}/checkpoint: the newest head that was cosigned for the asking site's own log,
 * the whole note; 404 for any other log, and before the first. */
int head_get(struct serve *serve, struct http_call *call);

/* The newest head as {"size","root","checkpoint","time"}; an empty object before the first. */
int head_newest(struct db *customer, const uint8_t audit_key[32], json_t **ret);
/* Append {"kind":"fork|rollback","size","root","checkpoint","stood","time"}: the heads with the site's signature that
 * do not continue the one that stood here then, oldest first. */
int head_conflicts(struct db *customer, const uint8_t audit_key[32], json_t *items);
/* Append the heads from this size on, oldest first, at most 1000. */
int head_list(struct db *customer, const uint8_t audit_key[32], uint64_t from, json_t *items);
