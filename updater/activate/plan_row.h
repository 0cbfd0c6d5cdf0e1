/* One row of a plan (plan.h): a service's running release held against the one that would take its place. */
#pragma once

#include <jansson.h>

struct definition;
struct update;
struct update_release;

/* Both releases are in the store; *ret is the caller's.  Returns 0, what reading them refuses, or a fault. */
int plan_row(struct update *u, const struct update_release *to, const char *from_hex, const char *from_version,
	const struct definition *d, json_t **ret);
