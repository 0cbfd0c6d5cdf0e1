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
#include "tests/fakes/vectors.h"

/* --- the plain definition, RFC 6962 2.1, to compare with -------------------------------------- */
static void
plain_root(const uint8_t (*leaves)[32], size_t n, uint8_t out[32])
{
	uint8_t l[32], r[32];
	size_t k = 1;

	if (n == 1) {
		memcpy(out, leaves[0], 32);
		return;
	}
	while (2 * k < n)
		k *= 2;
	plain_root(leaves, k, l);
	plain_root(leaves + k, n - k, r);
	merkle_node(out, l, r);
}

enum { TREE = 130 };

static struct merkle *
tree_of(uint8_t (*leaves)[32], size_t n)
{
	struct merkle *m = NULL;

	assert_int_equal(merkle_new(&m), 0);
	for (size_t i = 0; i < n; i++) {
		merkle_leaf(leaves[i], &i, sizeof(i));
		assert_int_equal(merkle_append(m, leaves[i]), 0);
	}
	return m;
}

static void
every_small_tree(void **state)
{
	static uint8_t leaves[TREE][32];
	SCOPED(merkle_freep) struct merkle *m = tree_of(leaves, TREE);
	const uint8_t(*l)[32] = (const uint8_t(*)[32])leaves;
	uint8_t root[32], old[32];
	struct merkle_proof p;

	(void)state;
	for (size_t n = 1; n <= TREE; n++) {
		plain_root(l, n, root);
		merkle_root(m, n, old);
		assert_memory_equal(root, old, 32);
		for (size_t i = 0; i < n; i++) {
			const uint8_t(*h)[32] = (const uint8_t(*)[32])p.hash;

			assert_int_equal(merkle_prove_inclusion(m, i, n, &p), 0);
			assert_int_equal(merkle_check_inclusion(leaves[i], i, n, h, p.n, root), 0);
			assert_int_equal(merkle_check_inclusion(leaves[(i + 1) % TREE], i, n, h,
						 p.n, root),
				REASON_HASH_MISMATCH);
			assert_int_equal(merkle_prove_consistency(m, i + 1, n, &p), 0);
			merkle_root(m, i + 1, old);
			assert_int_equal(merkle_check_consistency(i + 1, n, h, p.n, old, root), 0);
			old[0] ^= 1;
			assert_int_equal(merkle_check_consistency(i + 1, n, h, p.n, old, root),
				REASON_HASH_MISMATCH);
		}
	}
	assert_int_equal(merkle_prove_inclusion(m, 5, 5, &p), REASON_NOT_FOUND);
	assert_int_equal(merkle_prove_inclusion(m, 5, TREE + 1, &p), REASON_NOT_FOUND);
	assert_int_equal(merkle_prove_consistency(m, 6, 5, &p), REASON_NOT_FOUND);
	assert_int_equal(merkle_prove_consistency(m, 1, TREE + 1, &p), REASON_NOT_FOUND);
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
		cmocka_unit_test(every_small_tree),
		cmocka_unit_test(inclusion_vectors),
		cmocka_unit_test(consistency_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
