/* What each site said last of its standing permits: table `permits` of a customer's file.
 *
 * Of a site's present life (the epoch of its last statement) and of one that its statement may not have told yet, the message
 * with the highest counter each: who brings an old one, of this life or of another, changes nothing of what is shown. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/db.h"

struct permits;
struct registry_site;

#define MAILBOX_PERMITS_TABLE                                                                      \
	"CREATE TABLE permits("                                                                    \
	"  site TEXT NOT NULL, key BLOB NOT NULL, epoch TEXT NOT NULL, counter INTEGER NOT NULL,"  \
	"  time INTEGER NOT NULL, envelope TEXT NOT NULL, PRIMARY KEY(site, epoch)) STRICT, WITHOUT ROWID;"

/* Keep a message that key signed, the site's present one; inside the caller's transaction.  envelope is its text.
 * *ret_kept: false where a later one of that life is here.  Returns 0 or a fault. */
int mailbox_permits_put(struct db *db, const struct permits *p, const uint8_t key[32], const char *envelope,
	uint64_t now_us, bool *ret_kept);

/* "permits" of a site's page: the envelope, where there is one by its present key, of its present life as far as its
 * statement tells.  Returns 0 or a fault. */
int mailbox_permits_page(struct db *db, const struct registry_site *site, json_t *page);
