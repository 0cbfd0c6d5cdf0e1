/* A Merkle tree in memory, by the definition and nothing cleverer than that the hash of a whole subtree is kept: what the
 * log's own is held against. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/audit/merkle.h"

enum { MERKLE_TREE_LEVELS = 16 };

struct merkle_tree {
	uint8_t (*leaf)[MERKLE_HASH];			   /* owned; whole[0] */
	uint8_t (*whole[MERKLE_TREE_LEVELS])[MERKLE_HASH]; /* the i-th subtree of 2^level leaves at [level][i] */
	size_t n;
};

/* n leaves, the hashes of the numbers from 0 on. */
void merkle_tree_make(struct merkle_tree *t, size_t n);
void merkle_tree_done(struct merkle_tree *t);

/* MTH(D[lo:hi]) of RFC 6962, 2.1, hi > lo. */
void merkle_tree_hash(const struct merkle_tree *t, size_t lo, size_t hi, uint8_t out[MERKLE_HASH]);
/* PATH(index, D[0:size]) and PROOF(old, D[0:size]) of 2.1.1 and 2.1.2, 0 < old. */
void merkle_tree_path(const struct merkle_tree *t, size_t index, size_t size,
	struct merkle_proof *ret);
void merkle_tree_proof(const struct merkle_tree *t, size_t old, size_t size,
	struct merkle_proof *ret);

struct merkle_source merkle_tree_source(struct merkle_tree *t);
