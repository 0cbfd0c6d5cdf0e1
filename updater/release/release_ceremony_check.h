/* What release_ceremony.c leaves to release_ceremony_check.c; for these two alone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct release_ceremony;
struct tuf_split;

/* Fill c->root, was and is from roots, present and next, judging all: see release_ceremony_read(). */
int release_ceremony_check(struct release_ceremony *c, const struct buf *known, uint64_t now_us);

/* Who signs a role's new document: by the new root and targets where they are in the draft; former: by the root that it
 * follows.  NULL where nobody does. */
const json_t *release_ceremony_role(const struct release_ceremony *c, const char *role, bool former, const json_t **ret_keys);

/* The new document of role, of which a and b are copies, with the signatures of both: of one key's two the one that is good. */
int release_ceremony_join(const struct release_ceremony *c, const char *role, const struct tuf_split *a,
	const struct tuf_split *b, struct buf *out);
