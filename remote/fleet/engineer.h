/* Is a key an engineer's, today?  Asked at login and at every call after it, so that a revocation ends what a login
 * began. */
#pragma once

#include <stdint.h>

#include "appliance/trust/sshkey.h"

struct people_engineer;
struct tuf_local;

/* role NULL: any that the engineer has; customer NULL: any.  *ret (may be NULL) is borrowed until the next refresh of
 * the repository's view.  Returns 0; the refusal of the people document (people.h) or of the repository (logged); or
 * a fault. */
int engineer_check(struct tuf_local *repo, const struct sshkey_public *key, const char *role, const char *customer,
	uint64_t now_us, const struct people_engineer **ret);
