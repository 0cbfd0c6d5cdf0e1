/* What `mainstay status` says of what leaves: how far each stream is, and what never arrived. */
#pragma once

#include <jansson.h>

struct command_call;
struct paths;

/* Add to status, from lib/courier/acks.json:
 *
 *	"shipping":[{"stream","to","committed","ahead":records that overtook,"counts":{WHAT: n, "from","to"},"promise"}]
 *
 * to is "hub" or a destination's name; promise: what holds of records on that way.  Nothing where there was no courier, or
 * that is not ours to read.  Returns 0 or a fault. */
int commands_shipping_add(json_t *status, const struct paths *paths);

/* A line of text for each stream that lost something, and for each destination. */
void commands_shipping_say(const struct command_call *call, const json_t *status);
