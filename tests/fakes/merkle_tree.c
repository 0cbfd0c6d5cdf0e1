#include "tests/fakes/merkle_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/trust/sha256.h"

static size_t
split(size_t n)
{
	size_t k = 1;

	while (2 * k < n)
		k *= 2;
	return k;
}

void
merkle_tree_make(struct merkle_tree *t, size_t n)
{
	*t = (struct merkle_tree){ .n = n };
	assert_true(n < (size_t)1 << MERKLE_TREE_LEVELS);
	for (unsigned level = 0; level < MERKLE_TREE_LEVELS; level++) {
		uint8_t(*whole)[MERKLE_HASH] = calloc((n >> level) + 1, sizeof(*whole));

		assert_non_null(whole);
		for (uint64_t i = 0; level == 0 && i < n; i++)
			merkle_leaf(whole[i], &i, sizeof(i));
		/* of those one level lower, for its own place is empty still */
		for (size_t i = 0; level > 0 && i < n >> level; i++)
			merkle_tree_hash(t, i << level, (i + 1) << level, whole[i]);
		t->whole[level] = whole;
	}
	t->leaf = t->whole[0];
}

void
merkle_tree_done(struct merkle_tree *t)
{
	for (unsigned level = 0; level < MERKLE_TREE_LEVELS; level++)
		free(t->whole[level]);
	*t = (struct merkle_tree){ 0 };
}

void
merkle_tree_hash(const struct merkle_tree *t, size_t lo, size_t hi, uint8_t out[MERKLE_HASH])
{
	uint8_t both[1 + 2 * MERKLE_HASH] = { 1 };
	unsigned level = (unsigned)__builtin_ctzl(hi - lo);

	if (hi - lo == (size_t)1 << level && lo % (hi - lo) == 0 && t->whole[level]) {
		memcpy(out, t->whole[level][lo >> level], MERKLE_HASH);
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
