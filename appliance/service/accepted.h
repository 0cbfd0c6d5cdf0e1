/* What the customer accepted of each service: operations (by the digest of their rights), fields
 * of telemetry, and powers (what a release may do beyond running its exec; definition_powers()).  lib/monitor/accepted.json, written by the monitor:
 *
 * 	{"services":{NAME:{"fields":{FIELD:SHAPE|false},"operations":{OPERATION:"sha256:HEX"},
 * 	"powers":[POWER...]}},"v":1}
 *
 * A field's SHAPE is as the collector showed it (egress/schema.h), "" where it was accepted before it was ever seen;
 * false: refused, and nothing else accepts it until it is accepted by name again.
 *
 * An operation whose rights changed in a new release is no longer the accepted one: it is off until
 * the customer accepts it again. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct accepted;

/* Read from dir_fd (the folder lib/monitor); no file accepts nothing.  Returns 0, REASON_MALFORMED
 * or REASON_UNKNOWN_FIELD (logged), or a fault. */
int accepted_load(struct accepted **ret, int dir_fd);
struct accepted *accepted_free(struct accepted *a);
SCOPED_DESTRUCTOR(struct accepted, accepted_free)

bool accepted_operation(const struct accepted *a, const char *service, const char *operation,
	const uint8_t rights[32]);
bool accepted_field(const struct accepted *a, const char *service, const char *field);
/* The powers that were accepted, an array of texts; borrowed, NULL where there are none. */
const json_t *accepted_powers(const struct accepted *a, const char *service);
/* true where anything of the service was accepted before. */
bool accepted_knows(const struct accepted *a, const char *service);

/* Change in memory; accepted_save() makes it last.  Return 0 or a fault. */
int accepted_add_operation(struct accepted *a, const char *service, const char *operation,
	const uint8_t rights[32]);
int accepted_add_field(
	struct accepted *a, const char *service, const char *field, const char *shape);
/* Refused: whoever accepted it. */
int accepted_refuse_field(struct accepted *a, const char *field);
/* Of all services, {FIELD: SHAPE | "" | false}: refused by one is refused, and a shape is more than none.  A new
 * object; NULL where there is no memory. */
json_t *accepted_fields(const struct accepted *a);
int accepted_add_power(struct accepted *a, const char *service, const char *power);
int accepted_forget(struct accepted *a,
	const char *service); /* it was removed; unknown is no fault */

int accepted_save(const struct accepted *a, int dir_fd);
