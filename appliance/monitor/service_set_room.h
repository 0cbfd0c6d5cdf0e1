/* One change of knobs; nobody else includes it.
 *
 *	service_set.c       its steps, its journal, the way back
 *	service_set_edit.c  what it would change, before anything is touched */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/services_room.h"

struct monitor_call;

/* In order of what they cost. */
enum service_set_needs { SERVICE_SET_NOTHING, SERVICE_SET_NEXT_START, SERVICE_SET_RELOAD, SERVICE_SET_RESTART };

struct service_set {
	struct monitor *m;
	struct monitor_call *call; /* NULL: taken up again at a start */
	char service[SERVICES_NAME_MAX + 1];
	struct buf old, new; /* cluster.yaml */
	char *difference;
	json_t *configs;
	enum service_set_needs needs;
	bool restarted;
	int r; /* below zero: a fault */
	struct refusal why; /* it goes back */
};

/* From the text in old and what the call gives: new, difference, configs and needs.  Where a release is active, each
 * value, its configuration and what it takes are known then.  Returns 0, REASON_USAGE or what the definition refuses
 * (logged), or a fault. */
int service_set_edit(struct service_set *s);
