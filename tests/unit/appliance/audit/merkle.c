#include "appliance/audit/merkle.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/merkle_tree.h"
#include "tests/fakes/vectors.h"

enum { TREE = 300 };

static struct merkle_tree leaves;
static struct merkle_source tree;
static uint8_t roots[TREE + 1][32];

static int
setup(void **state)
{
	(void)state;
	merkle_tree_make(&leaves, TREE);
	tree = merkle_tree_source(&leaves);
	for (size_t n = 0; n <= TREE; n++)
		assert_int_equal(merkle_root(&tree, n, roots[n]), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	merkle_tree_done(&leaves);
	return 0;
}

#define HASHES(p) ((const uint8_t(*)[32])(p)->hash)

static void
roots_are_those_of_the_definition(void **state)
{
	uint8_t root[32];

	(void)state;
	for (size_t n = 1; n <= TREE; n++) {
		merkle_tree_hash(&leaves, 0, n, root);
		assert_memory_equal(root, roots[n], 32);
	}
	sha256_of(root, "", 0);
	assert_memory_equal(root, roots[0], 32);
	for (size_t k = 1; k <= 256; k *= 2) {
		merkle_pack(root, (const uint8_t(*)[32])leaves.leaf, k);
		assert_memory_equal(root, roots[k], 32);
	}
}

static void
assert_same(const struct merkle_proof *a, const struct merkle_proof *b)
{
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->hash, b->hash, a->n * 32);
}

/* The proof of (i, n), bent in every way that a forger has: none leads to the root. */
static void
bend_inclusion(size_t i, size_t n, const struct merkle_proof *p)
{
	const uint8_t *leaf = leaves.leaf[i];
	struct merkle_proof q = *p;

#define REFUSED(...) assert_int_equal(merkle_check_inclusion(__VA_ARGS__), REASON_HASH_MISMATCH)
	REFUSED(leaves.leaf[(i + 1) % TREE], i, n, HASHES(p), p->n, roots[n]);
	REFUSED(leaf, i, n, HASHES(p), p->n, roots[n - 1]);
	REFUSED(leaf, n, n, HASHES(p), p->n, roots[n]);
	if (n > 1)
		REFUSED(leaf, i ^ 1, n, HASHES(p), p->n, roots[n]);
	if (p->n) {
		REFUSED(leaf, i, n, HASHES(p), p->n - 1, roots[n]);
		REFUSED(leaf, i, n, HASHES(p) + 1, p->n - 1, roots[n]);
		q.hash[(i + n) % p->n][i % 32] ^= (uint8_t)(1 << n % 8);
		REFUSED(leaf, i, n, HASHES(&q), q.n, roots[n]);
	}
	memcpy(q.hash, p->hash, sizeof(q.hash));
	memset(q.hash[q.n++], 0, 32);
	REFUSED(leaf, i, n, HASHES(&q), q.n, roots[n]);
#undef REFUSED
}

static void
every_inclusion_to_300(void **state)
{
	struct merkle_proof p, q;
	size_t seen_pairs = 0;

	(void)state;
	for (size_t n = 1; n <= TREE; n++) {
		for (size_t i = 0; i < n; i++, seen_pairs++) {
			assert_int_equal(merkle_prove_inclusion(&tree, i, n, &p), 0);
			merkle_tree_path(&leaves, i, n, &q);
			assert_same(&p, &q);
			assert_int_equal(merkle_check_inclusion(leaves.leaf[i], i, n, HASHES(&p),
						 p.n, roots[n]),
				0);
			bend_inclusion(i, n, &p);
		}
	}
	assert_int_equal(seen_pairs, TREE * (TREE + 1) / 2);
	assert_int_equal(merkle_prove_inclusion(&tree, 5, 5, &p), REASON_NOT_FOUND);
	assert_int_equal(merkle_prove_inclusion(&tree, 5, TREE + 1, &p), REASON_NOT_FOUND);
}

static void
bend_consistency(size_t m, size_t n, const struct merkle_proof *p)
{
	struct merkle_proof q = *p;

#define REFUSED(...) assert_int_equal(merkle_check_consistency(__VA_ARGS__), REASON_HASH_MISMATCH)
	REFUSED(m, n, HASHES(p), p->n, roots[m - 1], roots[n]);
	REFUSED(m, n, HASHES(p), p->n, roots[m], roots[n - 1]);
	REFUSED(n + 1, n, HASHES(p), p->n, roots[m], roots[n]);
	REFUSED(0, n, HASHES(p), p->n, roots[0], roots[n]);
	if (p->n) {
		REFUSED(m, n, HASHES(p), p->n - 1, roots[m], roots[n]);
		REFUSED(m, n, HASHES(p) + 1, p->n - 1, roots[m], roots[n]);
		q.hash[(m + n) % p->n][m % 32] ^= (uint8_t)(1 << n % 8);
		REFUSED(m, n, HASHES(&q), q.n, roots[m], roots[n]);
	}
	memcpy(q.hash, p->hash, sizeof(q.hash));
	memset(q.hash[q.n++], 0, 32);
	REFUSED(m, n, HASHES(&q), q.n, roots[m], roots[n]);
#undef REFUSED
}

static void
every_consistency_to_300(void **state)
{
	struct merkle_proof p, q;
	size_t seen_pairs = 0;

	(void)state;
	for (size_t n = 1; n <= TREE; n++) {
		for (size_t m = 1; m <= n; m++, seen_pairs++) {
			assert_int_equal(merkle_prove_consistency(&tree, m, n, &p), 0);
			merkle_tree_proof(&leaves, m, n, &q);
			assert_same(&p, &q);
			assert_int_equal(merkle_check_consistency(m, n, HASHES(&p), p.n, roots[m],
						 roots[n]),
				0);
			bend_consistency(m, n, &p);
		}
	}
	assert_int_equal(seen_pairs, TREE * (TREE + 1) / 2);
	assert_int_equal(merkle_prove_consistency(&tree, 0, 9, &p), 0);
	assert_int_equal(p.n, 0);
	assert_int_equal(merkle_check_consistency(0, 0, NULL, 0, roots[0], roots[0]), 0);
	assert_int_equal(merkle_prove_consistency(&tree, 6, 5, &p), REASON_NOT_FOUND);
	assert_int_equal(merkle_prove_consistency(&tree, 1, TREE + 1, &p), REASON_NOT_FOUND);
}

/* --- vectors ---------------------------------------------------------------------------------- */
static size_t seen;

/* A hash of the vectors; some are not 32 bytes long, which no caller of ours can pass: padded, they
 * stay different from each other and from all real ones. */
static void
hash_of(uint8_t out[32], const json_t *v)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64);
	const char *text = json_string_value(v);

	assert_true(hex_unbase64(&b, text, strlen(text)));
	memset(out, 0, 32);
	if (b.len)
		memcpy(out, b.data, b.len < 32 ? b.len : 32);
}

static bool
odd_sized(const json_t *list)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		if (json_string_length(v) != 44)
			return true;
	}
	return false;
}

/* Two of them are 2^64 - 1, which is no JSON integer to the library. */
static uint64_t
number_of(const json_t *v, const char *name)
{
	double d = json_real_value(json_object_get(v, name));

	return d >= 0x1p64 ? UINT64_MAX : (uint64_t)d;
}

static int
one_vector(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const json_t *list;
	uint8_t proof[128][32], a[32], b[32];
	uint64_t x, y;
	SCOPED_JSON *v = NULL;
	bool want, ok;
	size_t n, i;
	json_t *h;

	(void)st;
	(void)ftw;
	if (kind != FTW_F)
		return 0;
	v = json_load_file(path, JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(v);
	list = json_object_get(v, "proof");
	n = json_array_size(list);
	assert_true(n <= 128);
	json_array_foreach(list, i, h)
		hash_of(proof[i], h);
	want = !json_is_true(json_object_get(v, "wantErr"));
	if (json_object_get(v, "leafIdx")) {
		x = number_of(v, "leafIdx");
		y = number_of(v, "treeSize");
		hash_of(a, json_object_get(v, "leafHash"));
		hash_of(b, json_object_get(v, "root"));
		ok = !odd_sized(list) && json_string_length(json_object_get(v, "root")) == 44 &&
			merkle_check_inclusion(a, x, y, (const uint8_t(*)[32])proof, n, b) == 0;
	} else {
		x = number_of(v, "size1");
		y = number_of(v, "size2");
		hash_of(a, json_object_get(v, "root1"));
		hash_of(b, json_object_get(v, "root2"));
		ok = !odd_sized(list) &&
			merkle_check_consistency(x, y, (const uint8_t(*)[32])proof, n, a, b) == 0;
	}
	if (ok != want)
		fail_msg("%s: %s", path, ok ? "passed" : "refused");
	seen++;
	return 0;
}

static void
vectors_of(const char *name)
{
	char *folder = vectors_folder(name);

	seen = 0;
	assert_int_equal(nftw(folder, one_vector, 8, FTW_PHYS), 0);
	assert_int_equal(seen, 98);
	vectors_ran(name, (size_t)seen, 0);
	free(folder);
}

static void
inclusion_vectors(void **state)
{
	(void)state;
	vectors_of("merkle/inclusion");
}

static void
consistency_vectors(void **state)
{
	(void)state;
	vectors_of("merkle/consistency");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_are_those_of_the_definition),
		cmocka_unit_test(every_inclusion_to_300),
		cmocka_unit_test(every_consistency_to_300),
		cmocka_unit_test(inclusion_vectors),
		cmocka_unit_test(consistency_vectors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
