/* What release_ceremony.c leaves to release_ceremony_check.c; for these two, and release_card.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct release_ceremony;

/* Fill c->root, was and is from roots, present and next, judging all: see release_ceremony_read(). */
int release_ceremony_check(struct release_ceremony *c, const struct buf *known, uint64_t now_us);

/* Who signs a role's new document: by the new root and targets where they are in the draft; former: by the root that it
 * follows.  NULL where nobody does. */
const json_t *release_ceremony_role(const struct release_ceremony *c, const char *role, bool former, const json_t **ret_keys);

/* The whole root document that a trust card carries, or that the bytes are. */
int release_ceremony_known(struct buf *out, const struct buf *known);
