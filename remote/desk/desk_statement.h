/* What a site without a network said of itself, brought by hand: STATE/desk/CARD-KEY/statements/SITE.json, the newest one. */
#pragma once

#include <jansson.h>

struct desk;
struct desk_site;

/* Keep envelope, which s->key signed about s->site; s->statement becomes its payload, where that is newer than
 * what is kept and than what the hub shows; else nothing changes.  Returns 0; REASON_WRONG_ADDRESSEE, REASON_MALFORMED
 * (logged); what envelope_verify_daemon() refuses; or a fault. */
int desk_statement_keep(struct desk *d, struct desk_site *s, const json_t *envelope);

/* s->statement against the newest that this desk saw of the same life (epoch) of the site: STATE/desk/CARD-KEY/seen/SITE.json.
 * Within one life counters only rise, so an older one is one that the hub kept and shows again; where the hub says that
 * two speak with the site's key, they do not, and nothing is held against it.  Returns 0; REASON_ROLLBACK,
 * REASON_MALFORMED for a damaged file (logged); or a fault. */
int desk_statement_seen(struct desk *d, const struct desk_site *s);

/* Take the one that is kept, where the hub shows none or an older one.  One that s->key did not sign (any more) counts for
 * nothing.  Returns 0 or a fault. */
int desk_statement_take(struct desk *d, struct desk_site *s);
