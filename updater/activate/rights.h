/* What a release asks for: its operations, each with the digest of its rights, its fields of telemetry, and its powers
 * (what it may do beyond running its exec).  The customer accepts them by name; what a later release adds or changes of
 * operations and fields arrives off, and while it asks for more powers it cannot be put in at all. */
#pragma once

#include <jansson.h>

struct accepted;
struct definition;

/* {"operations":[{"name","risk","runs","accepted":bool}],"fields":[{"name","accepted":bool}],
 * "powers":[{"name","accepted":bool}]} of a definition, held against what was accepted so far.  *ret is the caller's. */
int rights_list(json_t **ret, const struct definition *d, const struct accepted *a);

/* {"operations":[NAME],"fields":[NAME]}: what `to` has that `from` has not, or has with other rights.  *ret is the
 * caller's.  Returns 0 or a fault. */
int rights_new(json_t **ret, const struct definition *from, const struct definition *to);

/* Accept all of it (a first install).  In memory; the caller saves. */
int rights_accept_all(struct accepted *a, const struct definition *d);

/* The powers that it asks for beyond those accepted: a new array of texts, the caller's.  Returns 0 or a fault. */
int rights_missing_powers(json_t **ret, const struct definition *d, const struct accepted *a);

/* Accept one item: kind "operation", "collector" or "power".  REASON_NOT_FOUND (logged) where the release has no such
 * thing; REASON_USAGE for another kind. */
int rights_accept(struct accepted *a, const struct definition *d, const char *kind, const char *item);
