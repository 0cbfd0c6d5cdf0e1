/* What is asked for is what costs least, of what the store and incoming do not hold. */
#include "updater/activate/update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/activate/stage.h"
#include "updater/object/object.h"
#include "updater/object/pack.h"
#include "updater/object/patch.h"

enum { OLD, SAME, NEW, OTHER, N_TEXTS };
static const char *const texts[N_TEXTS] = { "an old program, long enough to be a base",
	"a file that stays", "a new program, long enough to be a base", "a file that came with it" };
static const char definition[] = "{\"name\":\"toy\"}";

struct ground {
	struct scratch dir;
	struct update u;
	int objects_fd, patches_fd;
	uint8_t digest[N_TEXTS][32], definition[32];
	struct update_release rel; /* the new one */
	json_t *missing, *ranges;
};

static void
make_index(struct ground *g, struct buf *out, const char *version, const char *const paths[N_TEXTS])
{
	struct tree_index *x;

	assert_int_equal(tree_index_new(&x, "toy", version, g->definition), 0);
	for (size_t i = 0; i < N_TEXTS; i++) {
		struct tree_entry e = { .path = (char *)paths[i], .type = TREE_TYPE_FILE, .mode = 0555,
			.size = strlen(texts[i]) };

		memcpy(e.sha256, g->digest[i], 32);
		if (paths[i])
			assert_int_equal(tree_index_add(x, &e), 0);
	}
	assert_int_equal(tree_index_seal(x), 0);
	assert_int_equal(tree_index_write(x, out), 0);
	tree_index_free(x);
}

/* A store with the old release; packs with a patch for the new program, a gap nobody wants, and the other file. */
static void
make_packs(struct ground *g)
{
	SCOPED(pack_list_freep) struct pack_list *l = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(PACK_LIST_MAX);

	assert_int_equal(pack_list_new(&l, "toy", "2"), 0);
	assert_int_equal(pack_list_pack(l), 0);
	assert_int_equal(pack_list_add(l, g->digest[NEW], g->digest[OLD], 30), 0);
	assert_int_equal(pack_list_add(l, g->digest[SAME], NULL, 20), 0);
	assert_int_equal(pack_list_add(l, g->digest[OTHER], NULL, 25), 0);
	assert_int_equal(pack_list_pack(l), 0);
	assert_int_equal(pack_list_add(l, g->digest[NEW], NULL, 40), 0);
	assert_int_equal(pack_list_write(l, &b), 0);
	assert_int_equal(object_put(g->objects_fd, b.data, b.len, g->rel.packs), 0);
	g->rel.has_packs = true;
}

static int
setup(void **state)
{
	static const char *const old[N_TEXTS] = { "tool", "same", NULL, NULL };
	static const char *const new[N_TEXTS] = { NULL, "same", "tool", "other" };
	struct ground *g = calloc(1, sizeof(*g));
	SCOPED(buf_done) struct buf first = BUF_MAX(65536);
	struct stage_result result;
	uint8_t digest[32];

	scratch_make(&g->dir);
	assert_int_equal(fs_open_dir(&g->u.store_fd, g->dir.fd, "store", 0755), 0);
	assert_int_equal(fs_open_dir(&g->u.incoming_fd, g->dir.fd, "incoming", 0755), 0);
	assert_int_equal(fs_open_dir(&g->objects_fd, g->u.incoming_fd, "objects", 0755), 0);
	assert_int_equal(fs_open_dir(&g->patches_fd, g->u.incoming_fd, "patches", 0755), 0);
	assert_int_equal(object_put(g->objects_fd, definition, strlen(definition), g->definition), 0);
	for (size_t i = 0; i < N_TEXTS; i++)
		sha256_of(g->digest[i], texts[i], strlen(texts[i]));
	for (size_t i = OLD; i <= SAME; i++)
		assert_int_equal(object_put(g->objects_fd, texts[i], strlen(texts[i]), NULL), 0);
	make_index(g, &first, "1", old);
	assert_int_equal(stage_tree(&result, g->u.store_fd, g->objects_fd, g->patches_fd, first.data, first.len), 0);
	for (size_t i = OLD; i <= SAME; i++) {
		char name[OBJECT_NAME_MAX];

		assert_int_equal(unlinkat(g->objects_fd, object_name(name, g->digest[i]), 0), 0);
	}
	g->rel.index = BUF_MAX(65536);
	make_index(g, &g->rel.index, "2", new);
	assert_int_equal(tree_index_read(&g->rel.tree, g->rel.index.data, g->rel.index.len), 0);
	sha256_of(digest, g->rel.index.data, g->rel.index.len);
	hex_encode(g->rel.hex, digest, 32);
	make_packs(g);
	*state = g;
	return 0;
}

static int
teardown(void **state)
{
	struct ground *g = *state;

	json_decref(g->missing);
	json_decref(g->ranges);
	update_release_done(&g->rel);
	close(g->u.store_fd);
	close(g->u.incoming_fd);
	close(g->objects_fd);
	close(g->patches_fd);
	scratch_remove(&g->dir);
	free(g);
	return 0;
}

static void
ask(struct ground *g)
{
	json_decref(g->missing);
	json_decref(g->ranges);
	g->missing = json_array();
	g->ranges = json_array();
	assert_int_equal(update_missing(&g->u, &g->rel, g->missing, g->ranges, 60, NULL), 0);
}

static const char *
name_of(const json_t *list, size_t i)
{
	return json_string_value(json_array_get(json_array_get(list, i), 0));
}

static const json_t *
members(const struct ground *g, size_t i)
{
	return json_object_get(json_array_get(g->ranges, i), "members");
}

static void
the_patch_and_what_is_new_come_by_one_range(void **state)
{
	struct ground *g = *state;
	char name[PATCH_NAME_MAX], hex[65];

	ask(g);
	assert_int_equal(json_array_size(g->missing), 0);
	assert_int_equal(json_array_size(g->ranges), 1);
	assert_int_equal(json_array_size(members(g, 0)), 3);
	patch_name(name, g->digest[OLD], g->digest[NEW]);
	name[129] = '\0';
	assert_string_equal(name_of(members(g, 0), 0), name);
	assert_string_equal(name_of(members(g, 0), 1), ""); /* the store has it: a gap */
	assert_string_equal(name_of(members(g, 0), 2), hex_encode(hex, g->digest[OTHER], 32));
}

static void
a_list_that_has_not_come_is_asked_for_first(void **state)
{
	struct ground *g = *state;
	char hex[65], name[OBJECT_NAME_MAX];

	assert_int_equal(unlinkat(g->objects_fd, object_name(name, g->rel.packs), 0), 0);
	ask(g);
	assert_int_equal(json_array_size(g->ranges), 0);
	assert_int_equal(json_array_size(g->missing), 1);
	assert_string_equal(name_of(g->missing, 0), hex_encode(hex, g->rel.packs, 32));
	/* The hub has it not: one by one. */
	memcpy(g->u.no_packs, g->rel.packs, 32);
	ask(g);
	assert_int_equal(json_array_size(g->ranges), 0);
	assert_int_equal(json_array_size(g->missing), 2);
}

static void
a_list_that_is_none_is_done_without(void **state)
{
	struct ground *g = *state;

	assert_int_equal(object_put(g->objects_fd, "[]", 2, g->rel.packs), 0);
	assert_refused((ask(g), REASON_MALFORMED), REASON_MALFORMED, "");
	assert_int_equal(json_array_size(g->ranges), 0);
	assert_int_equal(json_array_size(g->missing), 2);
	assert_memory_equal(g->u.no_packs, g->rel.packs, 32);
}

static void
what_staging_marked_is_asked_for_as_an_object(void **state)
{
	struct ground *g = *state;
	char name[PATCH_NAME_MAX], hex[65];

	patch_name(name, g->digest[OLD], g->digest[NEW]);
	memcpy(name + 129, ".bad", 4);
	assert_int_equal(fs_replace(g->patches_fd, name, "", 0, 0644), 0);
	ask(g);
	assert_int_equal(json_array_size(g->ranges), 2); /* the object lies in the other pack */
	assert_string_equal(name_of(members(g, 1), 0), hex_encode(hex, g->digest[NEW], 32));
	(void)snprintf(name, sizeof(name), "%s.bad", hex_encode(hex, g->digest[SAME], 32));
	assert_int_equal(fs_replace(g->patches_fd, name, "", 0, 0644), 0);
	ask(g);
	assert_string_equal(name_of(members(g, 0), 0), hex);
}

static void
after_spoilt_packs_objects_come_by_themselves(void **state)
{
	struct ground *g = *state;

	assert_int_equal(fs_replace(g->objects_fd, STAGE_PACKS_BAD, "", 0, 0644), 0);
	ask(g);
	assert_int_equal(json_array_size(g->ranges), 0);
	assert_true(json_array_size(g->missing) > 0);
}

static void
what_came_is_not_asked_for_again(void **state)
{
	struct ground *g = *state;
	char name[PATCH_NAME_MAX];

	patch_name(name, g->digest[OLD], g->digest[NEW]);
	assert_int_equal(fs_replace(g->patches_fd, name, "p", 1, 0644), 0);
	ask(g);
	assert_int_equal(json_array_size(members(g, 0)), 1);
	assert_int_equal(object_put(g->objects_fd, texts[OTHER], strlen(texts[OTHER]), NULL), 0);
	ask(g);
	assert_int_equal(json_array_size(g->ranges) + json_array_size(g->missing), 0);
	assert_int_equal(object_put(g->objects_fd, "x", 1, NULL), 0);
	assert_int_equal(fs_remove_tree(g->u.incoming_fd, "objects"), 0);
	json_decref(g->missing);
	g->missing = json_array();
	assert_int_equal(update_missing(&g->u, &g->rel, g->missing, NULL, 1, NULL), 0);
	assert_int_equal(json_array_size(g->missing), 1); /* one is enough to know */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_patch_and_what_is_new_come_by_one_range, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_that_has_not_come_is_asked_for_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_that_is_none_is_done_without, setup, teardown),
		cmocka_unit_test_setup_teardown(what_staging_marked_is_asked_for_as_an_object, setup, teardown),
		cmocka_unit_test_setup_teardown(after_spoilt_packs_objects_come_by_themselves, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_is_not_asked_for_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
