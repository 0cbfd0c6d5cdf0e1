#include "tests/fakes/merkle_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/trust/sha256.h"

void
merkle_tree_make(struct merkle_tree *t, size_t n)
{
	t->leaf = calloc(n + 1, sizeof(*t->leaf));
	assert_non_null(t->leaf);
	t->n = n;
	for (uint64_t i = 0; i < n; i++)
		merkle_leaf(t->leaf[i], &i, sizeof(i));
}

void
merkle_tree_done(struct merkle_tree *t)
{
	free(t->leaf);
	t->leaf = NULL;
}

static size_t
split(size_t n)
{
	size_t k = 1;

	while (2 * k < n)
		k *= 2;
	return k;
}

void
merkle_tree_hash(const struct merkle_tree *t, size_t lo, size_t hi, uint8_t out[MERKLE_HASH])
{
	uint8_t both[1 + 2 * MERKLE_HASH] = { 1 };

	if (hi - lo == 1) {
		memcpy(out, t->leaf[lo], MERKLE_HASH);
		return;
	}
	merkle_tree_hash(t, lo, lo + split(hi - lo), both + 1);
	merkle_tree_hash(t, lo + split(hi - lo), hi, both + 1 + MERKLE_HASH);
	sha256_of(out, both, sizeof(both));
}

static void
path(const struct merkle_tree *t, size_t index, size_t lo, size_t hi, struct merkle_proof *ret)
{
	size_t mid;

	if (hi - lo == 1)
		return;
	mid = lo + split(hi - lo);
	path(t, index, index < mid ? lo : mid, index < mid ? mid : hi, ret);
	merkle_tree_hash(t, index < mid ? mid : lo, index < mid ? hi : mid, ret->hash[ret->n++]);
}

void
merkle_tree_path(const struct merkle_tree *t, size_t index, size_t size, struct merkle_proof *ret)
{
	ret->n = 0;
	path(t, index, 0, size, ret);
}

static void
proof(const struct merkle_tree *t, size_t old, size_t lo, size_t hi, bool whole,
	struct merkle_proof *ret)
{
	size_t mid;

	if (old == hi) {
		if (!whole)
			merkle_tree_hash(t, lo, hi, ret->hash[ret->n++]);
		return;
	}
	mid = lo + split(hi - lo);
	if (old <= mid) {
		proof(t, old, lo, mid, whole, ret);
		merkle_tree_hash(t, mid, hi, ret->hash[ret->n++]);
	} else {
		proof(t, old, mid, hi, false, ret);
		merkle_tree_hash(t, lo, mid, ret->hash[ret->n++]);
	}
}

void
merkle_tree_proof(const struct merkle_tree *t, size_t old, size_t size, struct merkle_proof *ret)
{
	ret->n = 0;
	proof(t, old, 0, size, true, ret);
}

static int
node(void *arg, unsigned level, uint64_t index, uint8_t out[MERKLE_HASH])
{
	merkle_tree_hash(arg, (size_t)index << level, (size_t)(index + 1) << level, out);
	return 0;
}

struct merkle_source
merkle_tree_source(struct merkle_tree *t)
{
	return (struct merkle_source){ node, t, t->n };
}
