/* What a site runs otherwise than it did: its statements, one after the other.  Table `changes` of each customer's file, the
 * newest CHANGES_KEPT of each site; times are the hub's. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/serve/db.h"

enum {
	CHANGES_KEPT = 20,
	CHANGES_SERVICES_MAX = 64, /* of a statement; further ones are not compared */
};

/* For the migration of the room. */
#define CHANGES_TABLES                                                                                        \
	"CREATE TABLE changes("                                                                               \
	"  id INTEGER PRIMARY KEY, site TEXT NOT NULL, time INTEGER NOT NULL, what TEXT NOT NULL) STRICT;"    \
	"CREATE INDEX changes_by_site ON changes(site, id);"

/* Compare a statement's payload with the one that stands in the registry (none: nothing changed), and keep what differs: a
 * service's release, one that came or went, the platform.  Inside the caller's transaction, before the statement is put.
 * Names that are no plain words are passed over: they come from the site. */
int changes_take(struct db *customer, const char *site, const json_t *payload, uint64_t now_us);

/* Append them, newest first, as serve_changes() wants them. */
int changes_append(struct db *customer, const char *site, json_t *changes);
