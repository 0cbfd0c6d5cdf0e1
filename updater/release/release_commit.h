/* Changed roles into a repository, all at once: either every client sees what was before, or what is new, at any
 * instant and after any crash.  Before a file changes, two clients try the result: one that comes anew, and one that
 * knows what is there now. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct release_keys;
struct release_repo;

struct release_change {
	json_t *documents; /* role -> its whole new document, signed, as text; owned */
};
void release_change_done(struct release_change *c);
int release_change_put(struct release_change *c, const char *role, const void *p, size_t len);

/* Publish them (NULL: none) under a new snapshot and timestamp, signed with keys.  r is then of the new state.  What an
 * interrupted command left is removed first.  Returns 0; REASON_UNKNOWN_KEY (logged) where keys of snapshot or timestamp
 * are missing, REASON_CONFLICT (logged) where the file system cannot do what a new root needs, what a client refuses of the result, before anything is written; or a fault. */
int release_commit(struct release_repo *r, const struct release_keys *keys, const struct release_change *c);

/* Sign with a role's keys that are here, which must be enough: REASON_UNKNOWN_KEY (logged) says how many are not. */
int release_commit_sign(const json_t *of, const char *role, const struct release_keys *keys, const json_t *signed_,
	struct buf *out);

/* Will release_commit() of a change in this role find keys enough, and open them?  As release_commit_sign(): for what writes
 * much before it signs. */
int release_commit_able(const struct release_repo *r, const struct release_keys *keys, const char *role);

/* Does this file of REPO/tuf carry a version that no snapshot lists yet?  One that is left over, or put there. */
bool release_commit_is_left_over(const struct release_repo *r, const char *file);

/* Is this file, by the last part of its path, one that a command was cut off while it wrote?  It has no name yet, so nobody was
 * told of it, and the next release_commit() removes it. */
bool release_commit_is_begun(const char *path);
