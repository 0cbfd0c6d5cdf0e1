/* Which earlier file a new one is patched from. */
#include "updater/release/release_base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/tree/index.h"

static const uint8_t digest[32] = { 1 };

static void
add(struct tree_index *x, const char *path, enum tree_type type, size_t size)
{
	struct tree_entry e = { .path = (char *)path, .type = type, .mode = 0755, .size = size };

	if (type == TREE_TYPE_FILE)
		memcpy(e.sha256, digest, sizeof(digest));
	assert_int_equal(tree_index_add(x, &e), 0);
}

static void
the_likeliest_file_is_the_base(void **state)
{
	static const struct {
		const char *path;
		size_t size;
		const char *base; /* NULL: none */
	} rows[] = {
		{ "bin/toy", 100, "bin/toy" },
		{ "bin/toy", 100000, "bin/toy" },				 /* the same path, whatever its size */
		{ "lib/modules/6.1.0-56/a.ko", 500, "lib/modules/6.1.0-55/a.ko" }, /* but for its numbers */
		{ "lib/libssl.so.3.0.17", 900, "lib/libssl.so.3.0.9" },
		{ "lib/libz.so.1.3", 700, "lib/libz.so.1.2" },			 /* of two the nearest in size */
		{ "lib/libz.so.1.3", 320, "lib/libz.so.1.1" },
		{ "usr/lib/libssl.so.4", 900, "lib/libssl.so.5" },		 /* elsewhere, by its name */
		{ "lib/libssl.so.3.0.17", 90000, NULL },			 /* none of its size */
		{ "lib/libssl.so.3.0.17", 3, NULL },
		{ "new", 10, NULL },
		{ "folder", 10, NULL },						 /* was no file */
	};
	struct release_base *b = NULL;
	struct tree_index *old;

	(void)state;
	assert_int_equal(tree_index_new(&old, "toy", "1", digest), 0);
	add(old, "bin", TREE_TYPE_DIR, 0);
	add(old, "bin/toy", TREE_TYPE_FILE, 100);
	add(old, "folder", TREE_TYPE_DIR, 0);
	add(old, "lib", TREE_TYPE_DIR, 0);
	add(old, "lib/libssl.so.3.0.9", TREE_TYPE_FILE, 1000);
	add(old, "lib/libssl.so.5", TREE_TYPE_FILE, 950);
	add(old, "lib/libz.so.1.1", TREE_TYPE_FILE, 300);
	add(old, "lib/libz.so.1.2", TREE_TYPE_FILE, 800);
	add(old, "lib/modules", TREE_TYPE_DIR, 0);
	add(old, "lib/modules/6.1.0-55", TREE_TYPE_DIR, 0);
	add(old, "lib/modules/6.1.0-55/a.ko", TREE_TYPE_FILE, 510);
	assert_int_equal(tree_index_seal(old), 0);
	assert_int_equal(release_base_new(&b, old), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct tree_entry e = { .path = (char *)rows[i].path, .type = TREE_TYPE_FILE, .size = rows[i].size };
		const struct tree_entry *found = release_base_find(b, &e);

		if ((found ? strcmp(found->path, rows[i].base ?: "") : rows[i].base != NULL) != 0)
			fail_msg("row %zu: %s for %s", i, found ? found->path : "none", rows[i].path);
	}
	release_base_free(b);
	tree_index_free(old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_likeliest_file_is_the_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
