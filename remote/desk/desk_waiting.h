/* Since when a request waits, and for whom: as the site itself signed it, where it did. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct desk;

enum { DESK_WAITING_ASKED_MAX = 16 }; /* so many are looked up; of the others the hub's word stands */

/* Read the states that the site signed out of the hub's page about a request, into a->said; what is not signed as it should
 * be is left out.  *ret_since_us: when the site first said that it waits; 0: it did not. */
struct desk_answer;
void desk_waiting_read(struct desk_answer *a, const json_t *doc, uint64_t *ret_since_us);

/* Add to each of the hub's items (a request's summary) "since", "for" (who must approve, or what it waits for) and
 * "signed": whether the site said so.  Where what the hub shows of one is not what engineer and site signed, "for" says
 * that with its token.  Blocks on the hub for those that wait.  Returns 0, what desk_trust_refresh() refuses, or a fault. */
int desk_waiting_fill(struct desk *d, json_t *items);
