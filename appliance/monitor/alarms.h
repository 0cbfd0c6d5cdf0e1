/* Alerts as the collector judged them.
 *
 *	alert         (collect) {name service group state(firing|muted|resolved) since severity text value muted_by
 *	              operation} -> {}; leaf `alert` first, then status; name, service and group are its identity
 *	alerts        (control) -> {"site","items":[{name service group state ...}],"mutes":[...]} firing or muted now */
#pragma once

#include <jansson.h>

struct monitor;

/* Reads lib/monitor/alerts.json (one that cannot be read is empty: the collector tells anew) and registers the verbs.
 * Returns 0 or a fault. */
int alarms_init(struct monitor *m);

/* The alerts held to fire, muted ones among them: an array, borrowed until the next turn of the loop. */
const json_t *alarms_standing(const struct monitor *m);
