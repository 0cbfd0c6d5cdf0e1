/* What a release asks for: its operations, each with the digest of its rights, and its fields of telemetry.  The
 * customer accepts them by name; what a later release adds or changes arrives off. */
#pragma once

#include <jansson.h>

struct accepted;
struct definition;

/* {"operations":[{"name","risk","runs","accepted":bool}],"fields":[{"name","accepted":bool}]} of a definition,
 * held against what was accepted so far.  *ret is the caller's. */
int rights_list(json_t **ret, const struct definition *d, const struct accepted *a);

/* Accept all of it (a first install).  In memory; the caller saves. */
int rights_accept_all(struct accepted *a, const struct definition *d);

/* Accept one item: kind "operation" or "collector".  REASON_NOT_FOUND (logged) where the release has no such
 * thing; REASON_USAGE for another kind. */
int rights_accept(struct accepted *a, const struct definition *d, const char *kind, const char *item);
