/* Two that speak as one site: found in their statements.
 *
 * A site's counter rises with every statement and its epoch, once given up, never comes back; a sequence of its
 * stream has one content.  Where two hold one key (a copied state folder, a restored backup, a thief), one of the
 * three breaks within a few heartbeats.  Then the site is marked cloned, an alert says so, both lives and both
 * statements are kept, and every acknowledgement of a statement under that key tells the site.  The mark ends when
 * an engineer accepts the site anew.
 *
 * Tables `lives` and `clones` of each customer's file. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "appliance/serve/db.h"

struct envelope;
struct http_call;
struct registry_site;
struct serve;

/* A statement came whose signature verified; inside the caller's transaction on the customer's file.  differs: its
 * sequence was committed before, with other content.  *ret_notice is for the acknowledgement (the caller's; NULL:
 * nothing to say); *ret_late where a later statement of that key came before, so that this one is not the site's
 * last word.  Returns 0 or a fault. */
int clone_statement(struct serve *serve, struct db *customer, const struct registry_site *site,
	const struct http_call *call, const struct envelope *e, bool differs, json_t **ret_notice, bool *ret_late);

/* "clone" of a site's page, where there is one: {"kind","time","first","second"}, each of these
 * {"epoch","counter","time","address","statement"}. */
int clone_page(struct db *customer, const char *site, json_t *page);
