/* Many objects at once: none before the commit, all after it, nothing where there was none. */
#include "updater/object/object_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/trust/sha256.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "tests/fakes/scratch.h"
#include "updater/object/object.h"

static struct scratch scratch;
static struct object_batch *batch;

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	assert_int_equal(object_batch_new(&batch, scratch.fd), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	batch = object_batch_free(batch);
	scratch_remove(&scratch);
	return 0;
}

static void
put(size_t i, uint8_t sha256[32])
{
	char text[32];

	(void)snprintf(text, sizeof(text), "object %zu", i);
	assert_int_equal(object_batch_put(batch, text, strlen(text), sha256), 0);
}

/* Files and folders below the scratch folder, but for itself. */
static size_t
count(void)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	static const uint8_t none[SHA256_LEN];

	assert_int_equal(tree_index_new(&x, "scratch", "1", none), 0);
	assert_int_equal(tree_walk(x, scratch.fd, NULL, NULL), 0);
	return x->n_entries;
}

static const struct row {
	const char *about;
	size_t n;
} rows[] = {
	{ "nothing is committed", 0 },
	{ "few objects, synced one by one", 3 },
	{ "many objects, synced all at once", 40 },
};

static void
objects_are_there_once_committed(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		uint8_t sha256[40][32];

		for (size_t i = 0; i < rows[k].n; i++) {
			put(100 * k + i, sha256[i]);
			assert_false(object_exists(scratch.fd, sha256[i]));
			put(100 * k + i, sha256[i]); /* again is once */
		}
		assert_int_equal(object_batch_commit(batch), 0);
		for (size_t i = 0; i < rows[k].n; i++)
			if (object_verify(scratch.fd, sha256[i]) != 0)
				fail_msg("%s: object %zu", rows[k].about, i);
	}
}

static void
a_batch_that_ends_early_leaves_nothing(void **state)
{
	uint8_t sha256[32];

	(void)state;
	for (size_t i = 0; i < 40; i++)
		put(i, sha256);
	assert_true(count() > 40);
	batch = object_batch_free(batch);
	assert_int_equal(count(), 0);
}

static void
what_was_there_before_stays(void **state)
{
	uint8_t one[32], two[32];
	char name[OBJECT_NAME_MAX];
	struct stat before, after;

	(void)state;
	assert_int_equal(object_put(scratch.fd, "object 1", 8, one), 0);
	assert_int_equal(fstatat(scratch.fd, object_name(name, one), &before, 0), 0);
	put(1, one);
	put(2, two);
	assert_int_equal(object_batch_commit(batch), 0);
	put(3, two); /* not committed */
	batch = object_batch_free(batch);
	assert_int_equal(fstatat(scratch.fd, name, &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(count(), 4); /* two objects in two folders */
}

static void
what_a_crash_left_half_written_is_written_anew(void **state)
{
	static const char text[] = "object 5";
	uint8_t sha256[32];
	char name[OBJECT_NAME_MAX], temporary[OBJECT_NAME_MAX + 8], aa[3];
	int fd;

	(void)state;
	sha256_of(sha256, text, strlen(text));
	object_name(name, sha256);
	(void)snprintf(aa, sizeof(aa), "%.2s", name);
	(void)snprintf(temporary, sizeof(temporary), "%s/.tmp.%s", aa, name + 3);
	assert_int_equal(mkdirat(scratch.fd, aa, 0755), 0);
	fd = openat(scratch.fd, temporary, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, &rows, sizeof(rows)), sizeof(rows));
	close(fd);
	put(5, sha256);
	assert_int_equal(object_batch_commit(batch), 0);
	assert_int_equal(object_verify(scratch.fd, sha256), 0);
	assert_int_equal(count(), 2);
}

static void
names_that_cannot_be_given_are_a_fault(void **state)
{
	uint8_t sha256[32];
	char name[OBJECT_NAME_MAX];

	(void)state;
	put(6, sha256);
	assert_int_equal(mkdirat(scratch.fd, object_name(name, sha256), 0755), 0); /* a folder in the object's place */
	assert_int_equal(object_batch_commit(batch), -EISDIR);
	batch = object_batch_free(batch);
	assert_int_equal(count(), 2); /* that folder and the one above it */
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(objects_are_there_once_committed),
		TEST(a_batch_that_ends_early_leaves_nothing),
		TEST(what_was_there_before_stays),
		TEST(what_a_crash_left_half_written_is_written_anew),
		TEST(names_that_cannot_be_given_are_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
