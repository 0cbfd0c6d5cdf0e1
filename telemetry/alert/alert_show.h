/* Alerts as an engineer's terminal shows them.  All texts come from sites: they are escaped. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/command.h"

enum { ALERT_SHOW_OVER = 10 }; /* of those that are over, beside those that are not */

/* What may stand in a path, a query and a command line as it is; no option of the latter. */
bool alert_show_plain(const char *text, size_t max);

/* How an alert stands, in a word or two: what a silent site last said is no more than that. */
const char *alert_show_standing(const json_t *item, char out[64]);

/* A list as the hub gave it: what stands first, then what is muted, then the newest of what is over (all of it with
 * --standing resolved).  With --json as it came.  Returns 0 or as command_print_items(). */
int alert_show_list(struct command_call *call, json_t *items);

/* One on one screen: what it is, since when, what changed there, what would help and who is on it.  Returns 0 or -ENOMEM. */
int alert_show_one(struct command_call *call, const json_t *item, uint64_t now_us);
