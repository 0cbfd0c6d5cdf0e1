#include "appliance/audit/merkle.h"

#include <stdbool.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { PACK_MAX = 256 };

void
merkle_leaf(uint8_t out[MERKLE_HASH], const void *p, size_t len)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_put(&h, "\0", 1);
	sha256_put(&h, p, len);
	sha256_final(&h, out);
}

static void
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

void
merkle_pack(uint8_t out[MERKLE_HASH], const uint8_t (*hash)[MERKLE_HASH], size_t n)
{
	uint8_t level[PACK_MAX / 2][MERKLE_HASH];

	if (n == 1) {
		memcpy(out, hash[0], MERKLE_HASH);
		return;
	}
	n /= 2;
	for (size_t i = 0; i < n; i++)
		merkle_node(level[i], hash[2 * i], hash[2 * i + 1]);
	for (; n > 1; n /= 2) {
		for (size_t i = 0; i < n / 2; i++)
			merkle_node(level[i], level[2 * i], level[2 * i + 1]);
	}
	memcpy(out, level[0], MERKLE_HASH);
}

/* Largest power of two below n, n > 1. */
static uint64_t
split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* Root of leaves [lo, hi), hi > lo; lo is a multiple of a power of two >= hi - lo. */
static int
range(const struct merkle_source *s, uint64_t lo, uint64_t hi, uint8_t out[MERKLE_HASH])
{
	uint8_t left[MERKLE_HASH], right[MERKLE_HASH];
	uint64_t n = hi - lo;
	int r;

	if (!(n & (n - 1))) {
		unsigned level = (unsigned)__builtin_ctzll(n);

		return s->node(s->arg, level, lo >> level, out);
	}
	r = range(s, lo, lo + split(n), left);
	r = r ?: range(s, lo + split(n), hi, right);
	if (r == 0)
		merkle_node(out, left, right);
	return r;
}

int
merkle_root(const struct merkle_source *s, uint64_t size, uint8_t out[MERKLE_HASH])
{
	if (size)
		return range(s, 0, size, out);
	sha256_of(out, "", 0);
	return 0;
}

static int
push(struct merkle_proof *p, const struct merkle_source *s, uint64_t lo, uint64_t hi)
{
	return range(s, lo, hi, p->hash[p->n++]);
}

/* PATH(index, D[lo:hi]) of RFC 6962, 2.1.1. */
static int
path(struct merkle_proof *p, const struct merkle_source *s, uint64_t index, uint64_t lo,
	uint64_t hi)
{
	uint64_t mid;
	int r;

	if (hi - lo == 1)
		return 0;
	mid = lo + split(hi - lo);
	if (index < mid) {
		r = path(p, s, index, lo, mid);
		return r ?: push(p, s, mid, hi);
	}
	r = path(p, s, index, mid, hi);
	return r ?: push(p, s, lo, mid);
}

int
merkle_prove_inclusion(const struct merkle_source *s, uint64_t index, uint64_t size,
	struct merkle_proof *ret)
{
	if (index >= size || size > s->size)
		return REASON_NOT_FOUND;
	ret->n = 0;
	return path(ret, s, index, 0, size);
}

/* SUBPROOF(old - lo, D[lo:hi], whole) of RFC 6962, 2.1.2. */
static int
subproof(struct merkle_proof *p, const struct merkle_source *s, uint64_t old, uint64_t lo,
	uint64_t hi, bool whole)
{
	uint64_t mid;
	int r;

	if (old == hi)
		return whole ? 0 : push(p, s, lo, hi);
	mid = lo + split(hi - lo);
	if (old <= mid) {
		r = subproof(p, s, old, lo, mid, whole);
		return r ?: push(p, s, mid, hi);
	}
	r = subproof(p, s, old, mid, hi, false);
	return r ?: push(p, s, lo, mid);
}

int
merkle_prove_consistency(const struct merkle_source *s, uint64_t old_size, uint64_t size,
	struct merkle_proof *ret)
{
	if (old_size > size || size > s->size)
		return REASON_NOT_FOUND;
	ret->n = 0;
	return old_size ? subproof(ret, s, old_size, 0, size, true) : 0;
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
