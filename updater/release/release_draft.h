/* A draft of the people document as one file that travels from officer to officer, each on a machine of their own that
 * needs no repository and no network:
 *
 *	{"v":1,"document":TEXT,"role":TEXT}      the document, and the metadata that vouches for it with the signatures so far
 *
 * What comes back is nothing but signatures: the repository takes them for the very draft that it holds. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "appliance/base/buf.h"

struct people;

struct release_draft {
	struct buf document; /* people.json */
	struct buf role;     /* people.role.json */
};
void release_draft_init(struct release_draft *d);
void release_draft_done(struct release_draft *d);

/* Does the file begin like one, as a folder or a key does not? */
bool release_draft_is(const char *file);

/* Read file into an initialised draft, whose metadata vouches for this document and nothing else.  Returns 0;
 * REASON_MALFORMED (also where it vouches for more, or for longer), REASON_UNKNOWN_FIELD, REASON_TOO_LARGE,
 * REASON_NOT_FOUND, or REASON_HASH_MISMATCH where the metadata vouches for another document (all logged); or a fault. */
int release_draft_read(struct release_draft *d, const char *file);
/* Replace file. */
int release_draft_write(const struct release_draft *d, const char *file);

/* Add these officers' signatures.  The caller has shown the document to its person. */
struct ed25519;
int release_draft_sign(struct release_draft *d, const struct ed25519 *const *officers, size_t n);

/* Take into d the signatures that from has and d has not, of the keys of this role (TUF's keys object, the role's
 * object) alone.  Returns 0; REASON_CONFLICT (logged) where it is of another draft; REASON_UNSIGNED (logged) where
 * there is no good one; or a fault. */
int release_draft_merge(struct release_draft *d, const struct release_draft *from, const json_t *keys,
	const json_t *role);

/* How many keys of the role have signed d.  0; what tuf_split() refuses; or a fault: nothing is known then. */
int release_draft_count(const struct release_draft *d, const json_t *keys, const json_t *role, size_t *ret);
