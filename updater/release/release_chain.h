/* The roots of a repository, from the first to the present one, and whose signatures a document of any of their times
 * may carry. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/json.h"
#include "appliance/tuf/metadata.h"

struct buf;
struct release_repo;

struct release_chain {
	json_t *roots; /* [i]: version i + 1, its "signed"; owned */
};

/* Read 1..N.root.json; that each follows from the one before, the client of r has checked.  Returns 0, a refusal
 * naming the file, or a fault.  release_chain_done() ends it in any case. */
int release_chain_read(struct release_chain *ret, const struct release_repo *r);
void release_chain_done(struct release_chain *c);

/* Is every signature of s good, and are they enough?  version (0: of a file that carries none) is the document's,
 * present that of the role today.  A root: one of the chain, by keys of its own or of the root before it.  Another role:
 * (one that the present root names) by one root's keys, the present one's for what is present or newer.
 * Returns 0; REASON_ALTERED where it is no root of the chain, REASON_THRESHOLD, REASON_BAD_SIGNATURE (logged, naming
 * file); or a fault. */
int release_chain_check(const struct release_chain *c, const struct tuf_split *s, const char *role, uint64_t version,
	uint64_t present, const char *file);

/* The same for one role object: no signature that is not good, and at least its threshold. */
int release_chain_check_role(const struct tuf_split *s, const json_t *keys, const json_t *role, const char *file);

/* Has the key of this id, among keys, signed s, and well?  1: yes; 0: no; or a fault. */
int release_chain_signed(const struct tuf_split *s, const json_t *keys, const char *keyid);

/* The document of which a and b are copies, with the signatures of both: of one key's two the one that is good by any of these
 * n sets of keys. */
int release_chain_join(const struct tuf_split *a, const struct tuf_split *b, const json_t *const *keys, size_t n,
	struct buf *out);
