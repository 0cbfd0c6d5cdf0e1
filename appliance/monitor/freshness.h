/* What a person should hear of the vendor's repository: that it was refused, and that it has stopped to be renewed.
 *
 * Whoever holds the hub can show an old repository for ever, or none.  The timestamp role's signature ends within days, so
 * a site that saw nothing newer by then knows: releases and revocations may be withheld.  Both are said once, as a leaf
 * (refuse, alert; object "metadata") and by `notify: [alert]`, and stand in status' .pending until a refresh is good. */
#pragma once

#include "appliance/base/refuse.h"

struct monitor;

/* Registers the module; the metadata (metadata.h) must be there. */
int freshness_init(struct monitor *m);

/* A refresh is complete. */
void freshness_good(struct monitor *m);

/* What the courier brought of the metadata was refused: refuse_last() says why.  Other reasons than those that speak of the
 * documents themselves (a round that was busy, a file that has not come) are none of this. */
void freshness_refused(struct monitor *m, enum reason reason);
