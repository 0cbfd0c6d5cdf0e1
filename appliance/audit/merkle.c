#include "appliance/audit/merkle.h"

#include <errno.h>
#include <stdbool.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { LEVELS = 48 };

/* level[k].hash[i] is the root of leaves [i << k, (i + 1) << k): complete subtrees only. */
struct merkle {
	uint64_t size;
	struct level {
		uint8_t (*hash)[MERKLE_HASH];
		size_t n, cap;
	} level[LEVELS];
};

void
merkle_leaf(uint8_t out[MERKLE_HASH], const void *p, size_t len)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_put(&h, "\0", 1);
	sha256_put(&h, p, len);
	sha256_final(&h, out);
}

void
merkle_node(uint8_t out[MERKLE_HASH], const uint8_t left[MERKLE_HASH],
	const uint8_t right[MERKLE_HASH])
{
	struct sha256 h;

	sha256_init(&h);
	sha256_put(&h, "\1", 1);
	sha256_put(&h, left, MERKLE_HASH);
	sha256_put(&h, right, MERKLE_HASH);
	sha256_final(&h, out);
}

int
merkle_new(struct merkle **ret)
{
	struct merkle *m = calloc(1, sizeof(*m));

	if (!m)
		return FAULT(-ENOMEM);
	*ret = m;
	return 0;
}

struct merkle *
merkle_free(struct merkle *m)
{
	if (!m)
		return NULL;
	for (size_t k = 0; k < LEVELS; k++)
		free(m->level[k].hash);
	free(m);
	return NULL;
}

static int
push_room(struct level *l)
{
	size_t cap = l->cap ? 2 * l->cap : 8;
	void *p;

	if (l->n < l->cap)
		return 0;
	p = reallocarray(l->hash, cap, MERKLE_HASH);
	if (!p)
		return FAULT(-ENOMEM);
	l->hash = p;
	l->cap = cap;
	return 0;
}

int
merkle_append(struct merkle *m, const uint8_t leaf[MERKLE_HASH])
{
	uint8_t hash[MERKLE_HASH];
	size_t k;
	int r;

	/* All memory first, so that a failure leaves the tree as it was. */
	for (k = 0; k < LEVELS; k++) {
		r = push_room(&m->level[k]);
		if (r < 0)
			return FAULT(r);
		if (!(m->level[k].n & 1))
			break;
	}
	if (k == LEVELS)
		return FAULT(-EOVERFLOW);
	memcpy(hash, leaf, sizeof(hash));
	for (k = 0;; k++) {
		struct level *l = &m->level[k];

		memcpy(l->hash[l->n++], hash, sizeof(hash));
		if (l->n & 1)
			break;
		merkle_node(hash, l->hash[l->n - 2], l->hash[l->n - 1]);
	}
	m->size++;
	return 0;
}

uint64_t
merkle_size(const struct merkle *m)
{
	return m->size;
}

void
merkle_leaf_at(const struct merkle *m, uint64_t index, uint8_t out[MERKLE_HASH])
{
	memcpy(out, m->level[0].hash[index], MERKLE_HASH);
}

/* Largest power of two below n, n > 1. */
static uint64_t
split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* Root of leaves [lo, hi), hi > lo; lo is a multiple of a power of two >= hi - lo. */
static void
range(const struct merkle *m, uint64_t lo, uint64_t hi, uint8_t out[MERKLE_HASH])
{
	uint8_t left[MERKLE_HASH], right[MERKLE_HASH];
	uint64_t n = hi - lo;

	if (!(n & (n - 1))) {
		unsigned k = (unsigned)__builtin_ctzll(n);

		memcpy(out, m->level[k].hash[lo >> k], MERKLE_HASH);
		return;
	}
	range(m, lo, lo + split(n), left);
	range(m, lo + split(n), hi, right);
	merkle_node(out, left, right);
}

void
merkle_root(const struct merkle *m, uint64_t size, uint8_t out[MERKLE_HASH])
{
	if (size)
		range(m, 0, size, out);
	else
		sha256_of(out, "", 0);
}

static void
push(struct merkle_proof *p, const struct merkle *m, uint64_t lo, uint64_t hi)
{
	range(m, lo, hi, p->hash[p->n++]);
}

/* PATH(index, D[lo:hi]) of RFC 6962, 2.1.1. */
static void
path(struct merkle_proof *p, const struct merkle *m, uint64_t index, uint64_t lo, uint64_t hi)
{
	uint64_t mid;

	if (hi - lo == 1)
		return;
	mid = lo + split(hi - lo);
	if (index < mid) {
		path(p, m, index, lo, mid);
		push(p, m, mid, hi);
	} else {
		path(p, m, index, mid, hi);
		push(p, m, lo, mid);
	}
}

int
merkle_prove_inclusion(const struct merkle *m, uint64_t index, uint64_t size,
	struct merkle_proof *ret)
{
	if (index >= size || size > m->size)
		return REASON_NOT_FOUND;
	ret->n = 0;
	path(ret, m, index, 0, size);
	return 0;
}

/* SUBPROOF(old - lo, D[lo:hi], whole) of RFC 6962, 2.1.2. */
static void
subproof(struct merkle_proof *p, const struct merkle *m, uint64_t old, uint64_t lo, uint64_t hi,
	int whole)
{
	uint64_t mid;

	if (old == hi) {
		if (!whole)
			push(p, m, lo, hi);
		return;
	}
	mid = lo + split(hi - lo);
	if (old <= mid) {
		subproof(p, m, old, lo, mid, whole);
		push(p, m, mid, hi);
	} else {
		subproof(p, m, old, mid, hi, 0);
		push(p, m, lo, mid);
	}
}

int
merkle_prove_consistency(const struct merkle *m, uint64_t old_size, uint64_t size,
	struct merkle_proof *ret)
{
	if (old_size > size || size > m->size)
		return REASON_NOT_FOUND;
	ret->n = 0;
	if (old_size)
		subproof(ret, m, old_size, 0, size, 1);
	return 0;
}

/* --- checking: RFC 9162, 2.1.3.2 and 2.1.4.2 -------------------------------------------------- */
int
merkle_check_inclusion(const uint8_t leaf[MERKLE_HASH], uint64_t index, uint64_t size,
	const uint8_t (*proof)[MERKLE_HASH], size_t n, const uint8_t root[MERKLE_HASH])
{
	uint64_t fn = index, sn = size - 1;
	uint8_t r[MERKLE_HASH];

	if (index >= size)
		return REASON_HASH_MISMATCH;
	memcpy(r, leaf, sizeof(r));
	for (size_t i = 0; i < n; i++) {
		if (!sn)
			return REASON_HASH_MISMATCH;
		if ((fn & 1) || fn == sn) {
			merkle_node(r, proof[i], r);
			while (fn && !(fn & 1)) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			merkle_node(r, r, proof[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && !memcmp(r, root, sizeof(r)) ? 0 : (int)REASON_HASH_MISMATCH;
}

int
merkle_check_consistency(uint64_t old_size, uint64_t size, const uint8_t (*proof)[MERKLE_HASH],
	size_t n, const uint8_t old_root[MERKLE_HASH], const uint8_t root[MERKLE_HASH])
{
	uint8_t fr[MERKLE_HASH], sr[MERKLE_HASH], empty[MERKLE_HASH];
	uint64_t fn, sn;
	size_t i = 0;

	sha256_of(empty, "", 0);
	if (old_size > size || (!old_size && (size || memcmp(root, empty, sizeof(empty)))))
		return REASON_HASH_MISMATCH;
	if (old_size == size)
		return !n && !memcmp(old_root, root, MERKLE_HASH) ? 0 : (int)REASON_HASH_MISMATCH;
	fn = old_size - 1;
	sn = size - 1;
	while (fn & 1) {
		fn >>= 1;
		sn >>= 1;
	}
	if (!(old_size & (old_size - 1))) {
		memcpy(fr, old_root, sizeof(fr));
	} else {
		if (!n)
			return REASON_HASH_MISMATCH;
		memcpy(fr, proof[i++], sizeof(fr));
	}
	memcpy(sr, fr, sizeof(sr));
	for (; i < n; i++) {
		if (!sn)
			return REASON_HASH_MISMATCH;
		if ((fn & 1) || fn == sn) {
			merkle_node(fr, proof[i], fr);
			merkle_node(sr, proof[i], sr);
			while (fn && !(fn & 1)) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			merkle_node(sr, sr, proof[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && !memcmp(fr, old_root, sizeof(fr)) && !memcmp(sr, root, sizeof(sr))
		? 0
		: (int)REASON_HASH_MISMATCH;
}
