/* Patches that are made once and by any number of threads; packs that are checked to their last byte. */
#include "updater/release/release_packs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/object/object.h"
#include "updater/object/patch.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_patches.h"
#include "updater/release/release_repo.h"

#define NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)
enum { LEN = 20000, FILES = 12 };

static struct scratch scratch;
static struct release_repo *repo;
static struct tree_index *tree; /* f00, f01: the even ones are near each other, the odd ones are noise */
static char list[65];		/* of its packs */

static void
fill(uint8_t *bytes, size_t i)
{
	uint64_t x = i % 2 ? 7777777 + i : 88172645463325252;

	for (size_t k = 0; k < LEN; k++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		bytes[k] = (uint8_t)(x + (i % 2 == 0 && k == 10 * i));
	}
}

static int
setup(void **state)
{
	struct release_keys keys = { 0 };
	uint8_t bytes[LEN], digest[32] = { 0 };
	char path[128];

	(void)state;
	scratch_make(&scratch);
	(void)snprintf(path, sizeof(path), "%s/keys", scratch.path);
	assert_int_equal(release_keys_make(&keys, path, &(struct release_keys_plan){ .n_root = 1, .n_officers = 1, .plain = true }), 0);
	(void)snprintf(path, sizeof(path), "%s/repo", scratch.path);
	assert_int_equal(release_repo_init(path, &keys, 1, 1, 1, 1, NOW), 0);
	release_keys_done(&keys);
	assert_int_equal(release_repo_open(&repo, path, NOW, false), 0);
	assert_int_equal(tree_index_new(&tree, "toy", "1", digest), 0);
	for (size_t i = 0; i < FILES; i++) {
		char name[8];
		struct tree_entry e = { .path = name, .type = TREE_TYPE_FILE, .mode = 0444, .size = LEN };

		(void)snprintf(name, sizeof(name), "f%02zu", i);
		fill(bytes, i);
		assert_int_equal(object_put(repo->objects_fd, bytes, LEN, e.sha256), 0);
		assert_int_equal(tree_index_add(tree, &e), 0);
	}
	assert_int_equal(tree_index_seal(tree), 0);
	assert_int_equal(release_packs_make(repo, tree, "x", digest), 0);
	hex_encode(list, digest, 32);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tree_index_free(tree);
	repo = release_repo_close(repo);
	scratch_remove(&scratch);
	return 0;
}

/* --- patches -------------------------------------------------------------------------------------------------------- */
static void
patches_are_made_where_they_save(void **state)
{
	SCOPED(scope_close) int dir = -1;
	struct release_patches *p = NULL;
	const struct tree_entry *f = tree->entries;

	(void)state;
	assert_int_equal(fs_open_dir(&dir, repo->fd, "patches", 0755), 0);
	assert_int_equal(release_patches_new(&p), 0);
	assert_int_equal(release_patches_make(p, repo, dir), 0); /* of nothing */
	for (size_t i = 0; i + 2 < FILES; i++) {
		assert_int_equal(release_patches_want(p, &f[i], &f[i + 2]), 0);
		assert_int_equal(release_patches_want(p, &f[i], &f[i + 2]), 0);
	}
	assert_int_equal(release_patches_make(p, repo, dir), 0);
	for (size_t i = 0; i + 2 < FILES; i++) {
		char name[PATCH_NAME_MAX];
		struct stat st;

		patch_name(name, f[i].sha256, f[i + 2].sha256);
		assert_int_equal(release_patches_has(p, &f[i], &f[i + 2]), i % 2 == 0);
		assert_int_equal(fstatat(dir, name, &st, 0) == 0, i % 2 == 0);
	}
	assert_false(release_patches_has(p, &f[0], &f[6])); /* nobody asked */
	release_patches_free(p);
}

static void
a_spoilt_object_ends_the_patches(void **state)
{
	SCOPED(scope_close) int dir = -1;
	struct release_patches *p = NULL;
	const struct tree_entry *f = tree->entries;
	char a[OBJECT_NAME_MAX], b[OBJECT_NAME_MAX];

	(void)state;
	assert_int_equal(fs_open_dir(&dir, repo->fd, "patches", 0755), 0);
	assert_int_equal(release_patches_new(&p), 0);
	assert_int_equal(renameat(repo->objects_fd, object_name(a, f[1].sha256), repo->objects_fd,
				 object_name(b, f[2].sha256)), 0);
	assert_int_equal(release_patches_want(p, &f[0], &f[2]), 0);
	assert_refused(release_patches_make(p, repo, dir), REASON_HASH_MISMATCH, "");
	assert_false(release_patches_has(p, &f[1], &f[2]));
	release_patches_free(p);
}

static void
what_a_crash_left_of_a_patch_is_made_anew(void **state)
{
	SCOPED(scope_close) int dir = -1, left = -1;
	struct release_patches *p = NULL;
	const struct tree_entry *f = tree->entries;
	char name[PATCH_NAME_MAX], temporary[PATCH_NAME_MAX + 8];
	struct stat st;

	(void)state;
	patch_name(name, f[0].sha256, f[2].sha256);
	(void)snprintf(temporary, sizeof(temporary), ".tmp.%s", name);
	assert_int_equal(fs_open_dir(&dir, repo->fd, "patches", 0755), 0);
	left = openat(dir, temporary, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(ftruncate(left, LEN), 0);
	assert_int_equal(release_patches_new(&p), 0);
	assert_int_equal(release_patches_want(p, &f[0], &f[2]), 0);
	assert_int_equal(release_patches_make(p, repo, dir), 0);
	assert_int_equal(fstatat(dir, name, &st, 0), 0);
	assert_true(st.st_size > 0 && st.st_size < LEN / 10);
	assert_int_equal(faccessat(dir, temporary, F_OK, 0), -1);
	release_patches_free(p);
}

/* --- packs ---------------------------------------------------------------------------------------------------------- */
/* A tree of folders and links has no file to pack. */
static void
a_release_without_files_has_a_list_without_packs(void **state)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	SCOPED_JSON *doc = NULL;
	struct tree_entry e = { .path = (char *)"empty", .type = TREE_TYPE_DIR, .mode = 0755 };
	uint8_t digest[32] = { 0 };

	(void)state;
	assert_int_equal(tree_index_new(&x, "hollow", "1", digest), 0);
	assert_int_equal(tree_index_add(x, &e), 0);
	assert_int_equal(tree_index_seal(x), 0);
	assert_int_equal(release_packs_make(repo, x, "x", digest), 0);
	assert_int_equal(object_get(repo->objects_fd, digest, 65536, &b), 0);
	doc = json_loadb((const char *)b.data, b.len, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(doc, "packs")), 0);
}

/* --- verifying ------------------------------------------------------------------------------------------------------ */
static int
verify(const char *packs)
{
	size_t files = 0;

	json_decref(repo->delegated);
	repo->delegated = json_pack("{s:{s:{s:{s:{s:s}}}}}", "toy", "targets", "services/toy/1/index.json", "custom", "packs", packs);
	assert_non_null(repo->delegated);
	return release_packs_verify(repo, &files);
}

/* The one pack, for writing; its path. */
static int
open_pack(char path[100])
{
	json_t *packs;
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	SCOPED_JSON *doc = NULL;
	uint8_t digest[32];

	assert_true(hex_decode(digest, sizeof(digest), list));
	assert_int_equal(object_get(repo->objects_fd, digest, 65536, &b), 0);
	doc = json_loadb((const char *)b.data, b.len, 0, NULL);
	packs = json_object_get(doc, "packs");
	assert_int_equal(json_array_size(packs), 1);
	(void)snprintf(path, 100, "packs/%s", json_text(json_array_get(packs, 0), "sha256"));
	return openat(repo->fd, path, O_RDWR);
}

static void
whole_packs_are_whole(void **state)
{
	(void)state;
	assert_int_equal(verify(list), 0);
}

static void
a_list_has_a_digest(void **state)
{
	(void)state;
	assert_refused(verify("zz"), REASON_MALFORMED, "custom.packs is no digest");
	assert_string_equal(refuse_last()->operand, "services/toy/1/index.json");
	assert_int_equal(verify(list), 0);
}

static void
a_changed_byte_of_a_pack_is_found(void **state)
{
	char path[100], byte;
	SCOPED(scope_close) int fd = open_pack(path);

	(void)state;
	assert_int_equal(pread(fd, &byte, 1, 99), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 99), 1);
	assert_refused(verify(list), REASON_ALTERED, "differs from what the pack holds");
}

static void
a_longer_pack_is_found(void **state)
{
	char path[100];
	SCOPED(scope_close) int fd = open_pack(path);

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, lseek(fd, 0, SEEK_END)), 1);
	assert_refused(verify(list), REASON_ALTERED, "the pack has another length");
}

static void
a_lost_pack_is_missed(void **state)
{
	char path[100];

	(void)state;
	assert_int_equal(close(open_pack(path)), 0);
	assert_int_equal(unlinkat(repo->fd, path, 0), 0);
	assert_refused(verify(list), REASON_NOT_FOUND, "a release names this pack, the repository has it not");
}

static void
a_file_of_no_release_is_found(void **state)
{
	SCOPED(scope_close) int fd = openat(repo->fd, "packs/stray", O_WRONLY | O_CREAT, 0644);

	(void)state;
	assert_true(fd >= 0);
	assert_refused(verify(list), REASON_ALTERED, "is not part of the repository");
	assert_string_equal(refuse_last()->operand, "stray");
}

/* The object of a file that no patch leads to. */
static void
an_object_of_a_pack_that_is_lost_or_longer(void **state)
{
	char name[OBJECT_NAME_MAX];
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	(void)state;
	object_name(name, tree->entries[1].sha256);
	fd = openat(repo->objects_fd, name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "x", 1, st.st_size), 1);
	assert_refused(verify(list), REASON_ALTERED, "has another length in the pack");
	assert_string_equal(refuse_last()->operand, name);
	assert_int_equal(unlinkat(repo->objects_fd, name, 0), 0);
	assert_refused(verify(list), REASON_NOT_FOUND, "a pack has it, the repository has not");
	assert_string_equal(refuse_last()->operand, name);
}

/* A list that was signed, of a pack whose name is not what it holds. */
static void
a_pack_under_another_name_is_found(void **state)
{
	static const char other[] = "0000000000000000000000000000000000000000000000000000000000000000";
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	SCOPED_JSON *doc = NULL;
	uint8_t digest[32];
	char path[100], to[100], hex[65];

	(void)state;
	assert_int_equal(close(open_pack(path)), 0);
	(void)snprintf(to, sizeof(to), "packs/%s", other);
	assert_int_equal(renameat(repo->fd, path, repo->fd, to), 0);
	assert_true(hex_decode(digest, sizeof(digest), list));
	assert_int_equal(object_get(repo->objects_fd, digest, 65536, &b), 0);
	doc = json_loadb((const char *)b.data, b.len, 0, NULL);
	assert_int_equal(json_object_set_new(json_array_get(json_object_get(doc, "packs"), 0), "sha256", json_string(other)), 0);
	buf_reset(&b);
	assert_int_equal(json_canonical(&b, doc), 0);
	assert_int_equal(object_put(repo->objects_fd, b.data, b.len, digest), 0);
	assert_refused(verify(hex_encode(hex, digest, 32)), REASON_HASH_MISMATCH, "its bytes are not what its name says");
	assert_string_equal(refuse_last()->operand, other);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(patches_are_made_where_they_save),
		TEST(a_spoilt_object_ends_the_patches),
		TEST(what_a_crash_left_of_a_patch_is_made_anew),
		TEST(a_release_without_files_has_a_list_without_packs),
		TEST(whole_packs_are_whole),
		TEST(a_list_has_a_digest),
		TEST(a_changed_byte_of_a_pack_is_found),
		TEST(a_longer_pack_is_found),
		TEST(an_object_of_a_pack_that_is_lost_or_longer),
		TEST(a_pack_under_another_name_is_found),
		TEST(a_lost_pack_is_missed),
		TEST(a_file_of_no_release_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
