/* Since when a request waits, and for whom: as the site itself signed it, where it did. */
#pragma once

#include <jansson.h>

struct desk;

enum { DESK_WAITING_ASKED_MAX = 16 }; /* so many are looked up; of the others the hub's word stands */

/* Add to each of the hub's items (a request's summary) "since", "for" (who must approve, or what it waits for) and
 * "signed": whether the site said so.  Where what the hub shows of one is not what engineer and site signed, "for" says
 * that with its token.  Blocks on the hub for those that wait.  Returns 0, what desk_trust_refresh() refuses, or a fault. */
int desk_waiting_fill(struct desk *d, json_t *items);
