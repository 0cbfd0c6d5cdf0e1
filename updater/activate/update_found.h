/* What a look for releases found, for `mainstay update check`. */
#pragma once

#include <jansson.h>

struct update;

/* {"time","items":[ROW],"expires":[{"role","expires","soon"}],"window"}; the caller's.  ROW, one for each service of
 * cluster.yaml, and for the core where one is assigned:
 *
 *	{"service","runs","assigned","release","state","bytes","holds":[{"reason","text"}],"automatic","signed"}
 *
 * state: unassigned; current (the assigned one runs); coming (bytes: what is still to be fetched); staged; refused (holds say
 * why).  holds: what keeps it from going in.  automatic: nothing does, and it goes in without a word in the maintenance
 * hours.  signed: the newest version that the vendor has signed in the service's channel, where the hub assigns an older
 * one or none.  Changes nothing.  Returns 0 or a fault. */
int update_found(struct update *u, json_t **ret);
