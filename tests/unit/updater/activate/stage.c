/* Staging: what the courier left is copied only where it is what the index says. */
#include "updater/activate/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "updater/object/object.h"
#include "updater/object/patch.h"

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
	sha256_of(digest, s->index.data, s->index.len);
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
put_other_bytes(struct site *s)
{
	char name[OBJECT_NAME_MAX], other[OBJECT_NAME_MAX];
	uint8_t digest[32];

	assert_int_equal(object_put(s->objects_fd, "#!/bin/evil\n", strlen(program), digest), 0);
	object_path(name, s->program);
	object_path(other, digest);
	assert_int_equal(renameat(s->objects_fd, other, s->objects_fd, name), 0);
}

static void
other_bytes_under_the_name_leave_nothing(void **state)
{
	struct site *s = *state;
	uint8_t digest[32];

	assert_false(stage_packs_spoilt(s->objects_fd));
	put_other_bytes(s);
	assert_refused(stage(s), REASON_NOT_FOUND, "1 objects have other bytes than their names say");
	assert_store_untouched(s);
	assert_false(object_exists(s->objects_fd, s->program)); /* to be fetched anew */
	assert_true(object_exists(s->objects_fd, s->definition));
	assert_true(stage_packs_spoilt(s->objects_fd)); /* and by itself */
	put_other_bytes(s);
	assert_refused(stage(s), REASON_HASH_MISMATCH, "the object's bytes are others");
	assert_store_untouched(s);
	assert_false(stage_packs_spoilt(s->objects_fd)); /* whoever tries again may find mended packs */
	assert_false(object_exists(s->objects_fd, s->program));
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
	assert_refused(stage(s), REASON_UNSAFE_TREE, "the object cannot be opened");
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
	assert_refused(stage(s), REASON_UNSAFE_TREE, "the object is no regular file");
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

/* A second release: the program is another, a file beside it the same. */
struct next {
	struct buf index;
	char hex[65], patch[PATCH_NAME_MAX];
	uint8_t program[32];
};

static const char next_program[] = "#!/bin/true\n# newer, and otherwise the same as it was before\n";

static void
next_done(struct next *n)
{
	buf_done(&n->index);
}

/* The first release lies in the store, incoming holds the second one's definition and a patch. */
static void
make_next(struct site *s, struct next *n)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	SCOPED(scope_close) int from = -1, to = -1;
	struct tree_index *x;
	uint8_t digest[32];

	assert_int_equal(stage(s), 0);
	n->index = BUF_MAX(65536);
	sha256_of(n->program, next_program, strlen(next_program));
	assert_int_equal(tree_index_new(&x, "toy", "2", s->definition), 0);
	add(x, "bin", TREE_TYPE_DIR, 0755, NULL, 0, NULL);
	add(x, "bin/toy", TREE_TYPE_FILE, 0555, n->program, strlen(next_program), NULL);
	add(x, "bin/old", TREE_TYPE_FILE, 0555, s->program, strlen(program), NULL);
	add(x, "bin/mode", TREE_TYPE_FILE, 0444, s->program, strlen(program), NULL);
	assert_int_equal(tree_index_seal(x), 0);
	assert_int_equal(tree_index_write(x, &n->index), 0);
	sha256_of(digest, n->index.data, n->index.len);
	hex_encode(n->hex, digest, 32);
	tree_index_free(x);
	assert_int_equal(fs_memfd(&from, "from", program, strlen(program)), 0);
	assert_int_equal(fs_memfd(&to, "to", next_program, strlen(next_program)), 0);
	assert_int_equal(patch_make(&b, from, to, 4096), 0);
	patch_name(n->patch, s->program, n->program);
	assert_int_equal(fs_replace(s->patches_fd, n->patch, b.data, b.len, 0644), 0);
	assert_int_equal(fs_remove_tree(s->dir_fd, "objects"), 0); /* nothing else has to come again */
	close(s->objects_fd);
	assert_int_equal(fs_open_dir(&s->objects_fd, s->dir_fd, "objects", 0755), 0);
	assert_int_equal(object_put(s->objects_fd, definition, strlen(definition), NULL), 0);
}

static int
stage_next(struct site *s, struct next *n, struct stage_result *result)
{
	return stage_tree(result, s->store_fd, s->objects_fd, s->patches_fd, n->index.data, n->index.len);
}

static void
is_whole(struct site *s, const struct next *n)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	char path[160];
	struct stat st, old;

	snprintf(path, sizeof(path), "%s/bin", n->hex);
	SCOPED(scope_close) int bin = openat(s->store_fd, path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_read(bin, "toy", 4096, &b), 0);
	assert_int_equal(b.len, strlen(next_program));
	assert_memory_equal(b.data, next_program, b.len);
	assert_int_equal(fstatat(bin, "toy", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(fstatat(bin, "mode", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	snprintf(path, sizeof(path), "%s/bin/toy", s->hex);
	assert_int_equal(fstatat(s->store_fd, path, &old, 0), 0);
	assert_int_equal(fstatat(bin, "old", &st, 0), 0);
	assert_int_equal(st.st_ino, old.st_ino);
}

static void
a_release_is_made_of_the_one_before(void **state)
{
	SCOPED(next_done) struct next n;
	struct stage_result result;

	make_next(*state, &n);
	assert_int_equal(stage_next(*state, &n, &result), 0);
	assert_int_equal(result.files, 3);
	assert_int_equal(result.linked, 2); /* one of them copied, for its mode is another */
	assert_int_equal(result.patched, 1);
	is_whole(*state, &n);
}

/* It stands there no more, and the mark says why. */
static void
assert_spoilt(struct site *s, const char *name)
{
	char mark[PATCH_NAME_MAX];
	struct stat st;

	snprintf(mark, sizeof(mark), "%.*s.bad", (int)(strlen(name) - 4), name);
	assert_int_equal(fstatat(s->patches_fd, mark, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_not_equal(fstatat(s->patches_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
}

static void
a_spoilt_patch_gives_way_to_the_object(void **state)
{
	struct site *s = *state;
	SCOPED(next_done) struct next n;
	struct stage_result result;
	char name[128];
	struct stat st;

	make_next(s, &n);
	assert_int_equal(fs_replace(s->patches_fd, n.patch, "no patch", 8, 0644), 0);
	assert_refused(stage_next(s, &n, &result), REASON_NOT_FOUND, "objects have to come instead");
	assert_spoilt(s, n.patch);
	snprintf(name, sizeof(name), ".stage-%s", n.hex);
	assert_int_not_equal(fstatat(s->store_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_not_equal(fstatat(s->store_fd, n.hex, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(object_put(s->objects_fd, next_program, strlen(next_program), NULL), 0);
	assert_int_equal(stage_next(s, &n, &result), 0);
	assert_int_equal(result.patched, 0);
	is_whole(s, &n);
}

static void
a_link_for_a_patch_is_not_followed(void **state)
{
	struct site *s = *state;
	SCOPED(next_done) struct next n;
	struct stage_result result;

	make_next(s, &n);
	assert_int_equal(unlinkat(s->patches_fd, n.patch, 0), 0);
	assert_int_equal(symlinkat("/etc/hostname", s->patches_fd, n.patch), 0);
	assert_refused(stage_next(s, &n, &result), REASON_NOT_FOUND, "objects have to come instead");
	assert_spoilt(s, n.patch);
}

/* What drifted in the store is neither linked nor patched; it is asked for. */
static void
a_changed_file_of_the_store_is_used_for_nothing(void **state)
{
	struct site *s = *state;
	SCOPED(next_done) struct next n;
	struct stage_result result;
	char path[160], mark[PATCH_NAME_MAX], hex[65];
	struct stat st;
	int fd;

	make_next(s, &n);
	snprintf(path, sizeof(path), "%s/bin/toy", s->hex);
	assert_int_equal(fchmodat(s->store_fd, path, 0755, 0), 0);
	fd = openat(s->store_fd, path, O_WRONLY);
	assert_int_equal(pwrite(fd, "XXXXXXXXXXX", 11, 0), 11);
	close(fd);
	assert_refused(stage_next(s, &n, &result), REASON_NOT_FOUND, "objects have to come instead");
	assert_spoilt(s, n.patch);
	snprintf(mark, sizeof(mark), "%s.bad", hex_encode(hex, s->program, 32));
	assert_int_equal(fstatat(s->patches_fd, mark, &st, 0), 0);
	assert_int_equal(object_put(s->objects_fd, next_program, strlen(next_program), NULL), 0);
	assert_int_equal(object_put(s->objects_fd, program, strlen(program), NULL), 0);
	assert_int_equal(stage_next(s, &n, &result), 0);
	assert_int_equal(result.linked + result.patched, 0);
}

/* Bytes enough are free, but the file system has no room for more files: what was begun goes, and it is no fault. */
static void
a_disk_that_fills_up_meanwhile_is_refused(void **state)
{
	struct site *s = *state;
	uint64_t before = refuse_count(REASON_NO_SPACE);
	char path[64];
	pid_t pid = fork();
	int status;

	if (pid == 0) { /* the mount is this process's alone, and goes with it */
		(void)snprintf(path, sizeof(path), "%s/store", s->dir);
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("tmpfs", path, "tmpfs", 0, "size=200m,nr_inodes=3") < 0)
			_exit(77);
		close(s->store_fd);
		s->store_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_exit(stage(s) == REASON_NO_SPACE && refuse_count(REASON_NO_SPACE) == before + 1 &&
				      strstr(refuse_last()->text, "is full") &&
				      unlinkat(s->store_fd, s->hex, AT_REMOVEDIR) < 0
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* nobody to mount */
	assert_int_equal(status, 0);
	assert_store_untouched(s);
}

/* More files than one hand makes alone.  Each is i bytes of its own; *ret_bad is one in their middle. */
enum { MANY = 200 };

static void
index_of_many(struct site *s, uint8_t ret_bad[32])
{
	struct tree_index *x;
	uint8_t digest[32];

	assert_int_equal(tree_index_new(&x, "toy", "2", s->definition), 0);
	for (size_t i = 0; i < MANY; i++) {
		uint8_t bytes[MANY], sha256[32];
		char name[16];

		memset(bytes, (int)i, sizeof(bytes));
		assert_int_equal(object_put(s->objects_fd, bytes, i + 1, sha256), 0);
		(void)snprintf(name, sizeof(name), "f%03zu", i);
		add(x, name, TREE_TYPE_FILE, 0444, sha256, i + 1, NULL);
		if (i == MANY / 2)
			memcpy(ret_bad, sha256, 32);
	}
	assert_int_equal(tree_index_seal(x), 0);
	s->index.len = 0;
	assert_int_equal(tree_index_write(x, &s->index), 0);
	sha256_of(digest, s->index.data, s->index.len);
	hex_encode(s->hex, digest, 32);
	tree_index_free(x);
}

static void
many_files_are_made_by_several_hands(void **state)
{
	struct site *s = *state;
	struct stage_result result;
	uint8_t bad[32];

	index_of_many(s, bad);
	assert_int_equal(stage_tree(&result, s->store_fd, s->objects_fd, s->patches_fd, s->index.data, s->index.len), 0);
	assert_int_equal(result.files, MANY);
	for (size_t i = 0; i < MANY; i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(MANY + 1);
		char path[100];

		(void)snprintf(path, sizeof(path), "%s/f%03zu", s->hex, i);
		assert_int_equal(fs_read(s->store_fd, path, MANY, &b), 0);
		assert_int_equal(b.len, i + 1);
		assert_int_equal(((const uint8_t *)b.data)[i], (uint8_t)i);
	}
}

static void
what_one_hand_refuses_is_refused_once(void **state)
{
	struct site *s = *state;
	uint8_t bad[32];
	char path[OBJECT_NAME_MAX];

	index_of_many(s, bad);
	object_path(path, bad);
	assert_int_equal(unlinkat(s->objects_fd, path, 0), 0);
	assert_refused(stage(s), REASON_NOT_FOUND, "has not arrived");
	assert_string_equal(refuse_last()->operand, path);
	assert_store_untouched(s);
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
		cmocka_unit_test_setup_teardown(a_disk_that_fills_up_meanwhile_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_release_is_made_of_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spoilt_patch_gives_way_to_the_object, setup, teardown),
		cmocka_unit_test_setup_teardown(a_link_for_a_patch_is_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_changed_file_of_the_store_is_used_for_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(many_files_are_made_by_several_hands, setup, teardown),
		cmocka_unit_test_setup_teardown(what_one_hand_refuses_is_refused_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
