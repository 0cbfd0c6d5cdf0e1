/* What is looked at before anything that runs is touched: the step CHECK of a change, and what a plan warns of. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "updater/activate/change.h"

struct definition;
struct monitor;

/* The definition of a staged release; the caller's.  Returns 0, REASON_NOT_FOUND (logged), a refusal of
 * definition_read(), or a fault. */
int change_definition(struct monitor *m, const char *hex, struct definition **ret);

/* The knobs that cluster.yaml sets, as this release takes them, and the files it makes of them.  *ret (may be NULL) is
 * all knobs' values, the caller's.  Returns 0; REASON_UNKNOWN_FIELD or REASON_MALFORMED (of a knob that cluster.yaml sets, with its place
 * there and what the release's bounds are); or a fault. */
int change_check_knobs(struct monitor *m, const struct definition *d, json_t **ret);

/* Can this item of the change be put in?  Its release is staged.  Sets what the definitions say of its
 * data: one_way, and the name of a snapshot where the old release makes one.  Returns 0; or (all logged)
 *	REASON_ALTERED		the release defines another service
 *	REASON_UNKNOWN_FIELD, REASON_MALFORMED	cluster.yaml sets a knob that the release does not have, or out of its bounds,
 *				or a configuration file cannot be rendered with it
 *	REASON_NO_SPACE		less disk is free than the release requires beside the reserve
 *	REASON_NOT_FOUND	the snapshot that is to be restored is not there
 *	REASON_CONFLICT		a service that it requires is not there; too little memory; data it cannot read; a
 *				release of the core; one that restores no snapshots
 *	REASON_NOT_APPROVED	it asks for powers that the customer has not accepted, each named
 * or a fault. */
int change_check(struct monitor *m, struct change *c, size_t item);
