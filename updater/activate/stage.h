/* Staging: the release's tree copied from incoming objects into the root-owned store, hashing on the way.
 *
 *	incoming/objects/aa/HEX.zst  ->  store/.stage-HEX/...  ->  store/HEX/   (HEX: SHA-256 of index.json)
 *	                                 store/HEX.json (the index)   store/HEX.definition.json
 *
 * Runs in the worker mainstay-activate.  Nothing in incoming/ is believed: objects are opened beneath it
 * without following links, and a file stands in the store only with the hash that the index gives it.  The
 * index and the definition are written before the tree gets its name, so a tree with its name is whole.  An
 * object with other bytes than its name says is removed from incoming/, so that it is fetched anew. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tree_index;

/* What must stay free beside a tree, so that logs and journals can still be written. */
enum { STAGE_RESERVE = 64 * 1024 * 1024 };

struct stage_result {
	uint64_t files, bytes; /* of the whole tree */
};

/* Stage the release whose index has these bytes.  A tree that stands already is left as it is.  Returns 0;
 * REASON_NOT_FOUND (an object is missing), REASON_HASH_MISMATCH, REASON_MALFORMED, REASON_TOO_LARGE,
 * REASON_UNSAFE_TREE, REASON_NO_SPACE (all logged, nothing left behind); or a fault. */
int stage_tree(struct stage_result *ret, int store_fd, int objects_fd, const void *index, size_t len);

/* Does the tree fit beside the reserve?  0 or REASON_NO_SPACE (logged). */
int stage_check_room(const struct tree_index *index, uint64_t free_bytes);

/* Remove a tree, its index and its definition, and leftovers of an interrupted staging. */
int stage_remove(int store_fd, const char *hex);
