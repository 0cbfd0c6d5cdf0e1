/* Staging: what the courier left is copied only where it is what the index says. */
#include "updater/activate/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"

struct site {
	char dir[32];
	int dir_fd, store_fd, objects_fd, patches_fd;
	uint8_t program[32], definition[32];
	struct buf index;
	char hex[65];
};

static const char program[] = "#!/bin/true\n";
static const char definition[] = "{\"name\":\"toy\"}";

static void
add(struct tree_index *x, const char *path, enum tree_type type, unsigned mode, const uint8_t *sha256, size_t size,
	const char *target)
{
	struct tree_entry e = { .path = (char *)path, .type = type, .mode = mode, .size = size,
		.target = (char *)target };

	if (sha256)
		memcpy(e.sha256, sha256, 32);
	assert_int_equal(tree_index_add(x, &e), 0);
}

static int
setup(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	struct tree_index *x;
	uint8_t digest[32];

	snprintf(s->dir, sizeof(s->dir), "/tmp/stage.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_open_dir(&s->store_fd, s->dir_fd, "store", 0755), 0);
	assert_int_equal(fs_open_dir(&s->objects_fd, s->dir_fd, "objects", 0755), 0);
	assert_int_equal(fs_open_dir(&s->patches_fd, s->dir_fd, "patches", 0755), 0);
	assert_int_equal(object_put(s->objects_fd, program, strlen(program), s->program), 0);
	assert_int_equal(object_put(s->objects_fd, definition, strlen(definition), s->definition), 0);
	assert_int_equal(tree_index_new(&x, "toy", "1", s->definition), 0);
	add(x, "bin", TREE_TYPE_DIR, 0755, NULL, 0, NULL);
	add(x, "bin/toy", TREE_TYPE_FILE, 0555, s->program, strlen(program), NULL);
	add(x, "bin/also", TREE_TYPE_LINK, 0, NULL, 0, "toy");
	assert_int_equal(tree_index_seal(x), 0);
	s->index = BUF_MAX(65536);
	assert_int_equal(tree_index_write(x, &s->index), 0);
	assert_int_equal(tree_index_digest(x, digest), 0);
	hex_encode(s->hex, digest, 32);
	tree_index_free(x);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct site *s = *state;

	close(s->store_fd);
	close(s->objects_fd);
	assert_int_equal(fs_remove_tree(s->dir_fd, "store"), 0);
	assert_int_equal(fs_remove_tree(s->dir_fd, "objects"), 0);
	close(s->patches_fd);
	assert_int_equal(fs_remove_tree(s->dir_fd, "patches"), 0);
	close(s->dir_fd);
	rmdir(s->dir);
	buf_done(&s->index);
	free(s);
	return 0;
}

static int
stage(struct site *s)
{
	struct stage_result result;

	return stage_tree(&result, s->store_fd, s->objects_fd, s->patches_fd, s->index.data, s->index.len);
}

/* Nothing of the release, not even a passing name, is in the store. */
static void
assert_store_untouched(struct site *s)
{
	char name[128];
	struct stat st;

	assert_int_not_equal(fstatat(s->store_fd, s->hex, &st, AT_SYMLINK_NOFOLLOW), 0);
	snprintf(name, sizeof(name), ".stage-%s", s->hex);
	assert_int_not_equal(fstatat(s->store_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
}

static void
a_whole_release_is_staged_once(void **state)
{
	struct site *s = *state;
	struct stage_result result;
	char path[160], target[16] = "";
	struct stat st;

	assert_int_equal(stage_tree(&result, s->store_fd, s->objects_fd, s->patches_fd, s->index.data, s->index.len), 0);
	assert_int_equal(result.files, 1);
	assert_int_equal(result.bytes, strlen(program));
	snprintf(path, sizeof(path), "%s/bin/toy", s->hex);
	assert_int_equal(fstatat(s->store_fd, path, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(st.st_size, strlen(program));
	snprintf(path, sizeof(path), "%s/bin/also", s->hex);
	assert_int_equal(readlinkat(s->store_fd, path, target, sizeof(target) - 1), 3);
	snprintf(path, sizeof(path), "%s.definition.json", s->hex);
	assert_int_equal(fstatat(s->store_fd, path, &st, 0), 0);
	/* Again, with nothing to copy from: it stands already. */
	assert_int_equal(fs_remove_tree(s->dir_fd, "objects"), 0);
	assert_int_equal(stage(s), 0);
	assert_int_equal(stage_remove(s->store_fd, s->hex), 0);
	assert_store_untouched(s);
}

/* The file of an object below objects/. */
static void
object_path(char out[OBJECT_NAME_MAX], const uint8_t sha256[32])
{
	object_name(out, sha256);
}

static void
a_missing_object_leaves_nothing(void **state)
{
	struct site *s = *state;
	char name[OBJECT_NAME_MAX];

	object_path(name, s->program);
	assert_int_equal(unlinkat(s->objects_fd, name, 0), 0);
	assert_int_equal(stage(s), REASON_NOT_FOUND);
	assert_store_untouched(s);
}

static void
other_bytes_under_the_name_leave_nothing(void **state)
{
	struct site *s = *state;
	char name[OBJECT_NAME_MAX], other[OBJECT_NAME_MAX];
	uint8_t digest[32];

	assert_int_equal(object_put(s->objects_fd, "#!/bin/evil\n", strlen(program), digest), 0);
	object_path(name, s->program);
	object_path(other, digest);
	assert_int_equal(renameat(s->objects_fd, other, s->objects_fd, name), 0);
	assert_int_equal(stage(s), REASON_HASH_MISMATCH);
	assert_store_untouched(s);
	assert_false(object_exists(s->objects_fd, s->program)); /* to be fetched anew */
	assert_true(object_exists(s->objects_fd, s->definition));
	assert_int_equal(object_put(s->objects_fd, program, strlen(program), digest), 0);
	assert_int_equal(stage(s), 0);
}

static void
a_full_disk_is_refused_before_anything_is_written(void **state)
{
	struct site *s = *state;
	struct tree_index *x;
	uint64_t before = refuse_count(REASON_NO_SPACE);

	assert_int_equal(tree_index_read(&x, s->index.data, s->index.len), 0);
	assert_int_equal(stage_check_room(x, strlen(program) + STAGE_RESERVE), 0);
	assert_int_equal(stage_check_room(x, strlen(program) + STAGE_RESERVE - 1), REASON_NO_SPACE);
	assert_int_equal(refuse_count(REASON_NO_SPACE), before + 1);
	assert_string_equal(refuse_last()->operand, "toy");
	tree_index_free(x);
	assert_store_untouched(s);
}

static void
a_truncated_object_leaves_nothing(void **state)
{
	struct site *s = *state;
	char name[OBJECT_NAME_MAX];
	int fd;

	object_path(name, s->program);
	fd = openat(s->objects_fd, name, O_WRONLY);
	if (fd < 0) { /* objects are read-only */
		assert_int_equal(fchmodat(s->objects_fd, name, 0644, 0), 0);
		fd = openat(s->objects_fd, name, O_WRONLY);
	}
	assert_int_equal(ftruncate(fd, 7), 0);
	close(fd);
	assert_true(stage(s) > 0);
	assert_store_untouched(s);
}

static void
a_link_for_an_object_is_not_followed(void **state)
{
	struct site *s = *state;
	char name[OBJECT_NAME_MAX];

	object_path(name, s->program);
	assert_int_equal(renameat(s->objects_fd, name, s->objects_fd, "kept"), 0);
	assert_int_equal(symlinkat("../kept", s->objects_fd, name), 0);
	assert_int_equal(stage(s), REASON_UNSAFE_TREE);
	assert_store_untouched(s);
}

static void
a_pipe_for_an_object_does_not_hang(void **state)
{
	struct site *s = *state;
	char name[OBJECT_NAME_MAX];

	object_path(name, s->program);
	assert_int_equal(unlinkat(s->objects_fd, name, 0), 0);
	assert_int_equal(mkfifoat(s->objects_fd, name, 0644), 0);
	assert_int_equal(stage(s), REASON_UNSAFE_TREE);
	assert_store_untouched(s);
}

static void
no_index_is_no_release(void **state)
{
	struct site *s = *state;
	struct stage_result result;

	assert_int_equal(stage_tree(&result, s->store_fd, s->objects_fd, s->patches_fd, "{}", 2), REASON_MALFORMED);
	assert_store_untouched(s);
}

static void
leftovers_of_a_crash_are_swept(void **state)
{
	struct site *s = *state;
	char name[160];
	int fd;

	snprintf(name, sizeof(name), ".stage-%s/bin", s->hex);
	assert_int_equal(fs_open_dir(&fd, s->store_fd, name, 0755), 0);
	close(fd);
	assert_int_equal(stage(s), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_whole_release_is_staged_once),
		TEST(a_missing_object_leaves_nothing),
		TEST(other_bytes_under_the_name_leave_nothing),
		TEST(a_full_disk_is_refused_before_anything_is_written),
		TEST(a_truncated_object_leaves_nothing),
		TEST(a_link_for_an_object_is_not_followed),
		TEST(a_pipe_for_an_object_does_not_hang),
		TEST(no_index_is_no_release),
		TEST(leftovers_of_a_crash_are_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
