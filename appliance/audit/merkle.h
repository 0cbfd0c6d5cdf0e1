/* The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, inclusion and consistency proofs.
 *
 * A tree keeps the hash of every complete subtree, 64 bytes a leaf, so a proof costs only its own
 * length.  The verify calls need no tree. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum {
	MERKLE_HASH = 32,
	MERKLE_PROOF_MAX = 64, /* hashes */
};

void merkle_leaf(uint8_t out[MERKLE_HASH], const void *p, size_t len); /* 0x00 || data */
void merkle_node(uint8_t out[MERKLE_HASH], const uint8_t left[MERKLE_HASH],
	const uint8_t right[MERKLE_HASH]);

struct merkle_proof {
	uint8_t hash[MERKLE_PROOF_MAX][MERKLE_HASH];
	size_t n;
};

struct merkle; /* opaque */

int merkle_new(struct merkle **ret);
struct merkle *merkle_free(struct merkle *m);
SCOPED_DESTRUCTOR(struct merkle, merkle_free)

/* Add the leaf whose hash this is. */
int merkle_append(struct merkle *m, const uint8_t leaf[MERKLE_HASH]);
uint64_t merkle_size(const struct merkle *m);
/* The hash of leaf index < merkle_size(). */
void merkle_leaf_at(const struct merkle *m, uint64_t index, uint8_t out[MERKLE_HASH]);

/* Root of the first size leaves (size <= merkle_size(); 0: hash of nothing). */
void merkle_root(const struct merkle *m, uint64_t size, uint8_t out[MERKLE_HASH]);
/* Leaf index in the tree of the first size leaves.  Returns 0, or REASON_NOT_FOUND (unlogged) where
 * index >= size or size > merkle_size(). */
int merkle_prove_inclusion(const struct merkle *m, uint64_t index, uint64_t size,
	struct merkle_proof *ret);
/* From the tree of old_size leaves to that of size.  As above; 0 and equal sizes have empty
 * proofs. */
int merkle_prove_consistency(const struct merkle *m, uint64_t old_size, uint64_t size,
	struct merkle_proof *ret);

/* Return 0, or REASON_HASH_MISMATCH (unlogged) where the proof does not hold, sizes included.
 * Nothing can be proved about growth from the empty tree: an old size of 0 is consistent with the
 * empty tree alone. */
int merkle_check_inclusion(const uint8_t leaf[MERKLE_HASH], uint64_t index, uint64_t size,
	const uint8_t (*proof)[MERKLE_HASH], size_t n, const uint8_t root[MERKLE_HASH]);
int merkle_check_consistency(uint64_t old_size, uint64_t size, const uint8_t (*proof)[MERKLE_HASH],
	size_t n, const uint8_t old_root[MERKLE_HASH], const uint8_t root[MERKLE_HASH]);
