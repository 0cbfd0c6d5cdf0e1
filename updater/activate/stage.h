/* Staging: the release's tree made in the root-owned store, of what the store holds and what the courier brought.
 *
 *	store/OTHER/...                    a file of the same bytes: linked   \
 *	store/OTHER/... + incoming/patches/FROM-TO.zst: the base patched       > store/.stage-HEX/... -> store/HEX/
 *	incoming/objects/aa/HEX.zst:       uncompressed                       /  (HEX: SHA-256 of index.json)
 *	                                   store/HEX.json (the index)   store/HEX.definition.json
 *
 * Runs in the worker mainstay-activate, in PATCH_MEMORY and the indexes of the trees, whatever the release's size.  Nothing in incoming/
 * is believed: objects and patches are opened beneath it without following links.  Nor is the store: a file stands
 * in the new tree only after its bytes were hashed on the way there.  The index and the definition are written before the tree gets
 * its name, so a tree with its name is whole.  Objects with other bytes than their names say are removed from
 * incoming/, so that they are fetched anew, the first time without packs (STAGE_PACKS_BAD); a patch that is none, or whose base has changed, becomes FROM-TO.bad there, and the
 * object is fetched instead. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_index;

/* The mark in incoming/objects: what packs brought was not it, so objects come one by one until all that is assigned is
 * staged, or they are no better. */
#define STAGE_PACKS_BAD "packs.bad"
bool stage_packs_spoilt(int objects_fd);

/* What must stay free beside a tree, so that logs and journals can still be written. */
enum { STAGE_RESERVE = 64 * 1024 * 1024 };

struct stage_result {
	uint64_t files, bytes; /* of the whole tree */
	uint64_t linked, patched; /* files that came from the store, and by a patch; 0 where the tree stood already */
};

/* Stage the release whose index has these bytes.  A tree that stands already is left as it is.  patches_fd may be -1.  Returns 0;
 * REASON_NOT_FOUND (an object is missing, or it or a patch for it was spoilt: to be asked for again), REASON_HASH_MISMATCH, REASON_MALFORMED, REASON_TOO_LARGE,
 * REASON_UNSAFE_TREE, REASON_NO_SPACE (all logged, nothing left behind); or a fault. */
int stage_tree(struct stage_result *ret, int store_fd, int objects_fd, int patches_fd, const void *index, size_t len);

/* Does the tree fit beside the reserve?  0 or REASON_NO_SPACE (logged). */
int stage_check_room(const struct tree_index *index, uint64_t free_bytes);

/* Remove a tree, its index and its definition, and leftovers of an interrupted staging. */
int stage_remove(int store_fd, const char *hex);
