/* The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, inclusion and consistency proofs.
 *
 * The tree itself is the caller's: it gives the hashes of complete subtrees, wherever it keeps
 * them.  The check calls need no tree. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	MERKLE_HASH = 32,
	MERKLE_PROOF_MAX = 64, /* hashes */
};

void merkle_leaf(uint8_t out[MERKLE_HASH], const void *p, size_t len); /* 0x00 || data */
/* The root over n hashes of one level, n a power of two up to 256. */
void merkle_pack(uint8_t out[MERKLE_HASH], const uint8_t (*hash)[MERKLE_HASH], size_t n);

struct merkle_proof {
	uint8_t hash[MERKLE_PROOF_MAX][MERKLE_HASH];
	size_t n;
};

/* A tree of size leaves.  node() gives the root of the leaves [index << level, (index + 1) << level),
 * which all are below size; what it returns other than 0 is what the call here returns. */
struct merkle_source {
	int (*node)(void *arg, unsigned level, uint64_t index, uint8_t out[MERKLE_HASH]);
	void *arg;
	uint64_t size;
};

/* Root of the first size leaves (size <= s->size; 0: hash of nothing). */
int merkle_root(const struct merkle_source *s, uint64_t size, uint8_t out[MERKLE_HASH]);
/* Leaf index in the tree of the first size leaves.  Returns 0; REASON_NOT_FOUND (unlogged) where
 * index >= size or size > s->size; or what node() returned. */
int merkle_prove_inclusion(const struct merkle_source *s, uint64_t index, uint64_t size,
	struct merkle_proof *ret);
/* From the tree of old_size leaves to that of size.  As above; 0 and equal sizes have empty
 * proofs. */
int merkle_prove_consistency(const struct merkle_source *s, uint64_t old_size, uint64_t size,
	struct merkle_proof *ret);

/* Return 0, or REASON_HASH_MISMATCH (unlogged) where the proof does not hold, sizes included.
 * Nothing can be proved about growth from the empty tree: an old size of 0 is consistent with the
 * empty tree alone. */
int merkle_check_inclusion(const uint8_t leaf[MERKLE_HASH], uint64_t index, uint64_t size,
	const uint8_t (*proof)[MERKLE_HASH], size_t n, const uint8_t root[MERKLE_HASH]);
int merkle_check_consistency(uint64_t old_size, uint64_t size, const uint8_t (*proof)[MERKLE_HASH],
	size_t n, const uint8_t old_root[MERKLE_HASH], const uint8_t root[MERKLE_HASH]);
