#include "appliance/tree/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "appliance/base/refuse.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "tests/fakes/enclave.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/tree_folder.h"

static const uint8_t none[32];

static int
begin(void **state)
{
	struct scratch *s;

	(void)scratch_setup(state);
	s = *state;
	assert_int_equal(mkdirat(s->fd, "usr", 0755), 0);
	scratch_put(s, "usr/a", "one", 3);
	scratch_put(s, "usr/b", "two", 3);
	assert_int_equal(symlinkat("usr/a", s->fd, "l"), 0);
	return 0;
}

static int
walk(const struct scratch *s, struct tree_index **ret)
{
	struct tree_index *x = NULL;
	int r;

	assert_int_equal(tree_index_new(&x, "a", "1", none), 0);
	r = tree_walk(x, s->fd, NULL, NULL);
	r = r ? r : tree_index_seal(x);
	if (!r)
		*ret = x;
	else
		tree_index_free(x);
	return r;
}

static void
a_folder_and_its_index(void **state)
{
	const struct scratch *s = *state;
	struct tree_index *x = NULL;

	assert_int_equal(walk(s, &x), 0);
	assert_int_equal(x->n_entries, 4);
	assert_int_equal(tree_index_find(x, "l")->type, TREE_TYPE_LINK);
	assert_string_equal(tree_index_find(x, "l")->target, "usr/a");
	assert_int_equal(tree_index_find(x, "usr/b")->size, 3);
	assert_int_equal(tree_folder_is(x, s->fd), 0);
	tree_index_free(x);
}

enum change { BYTE, MODE, GONE, ADDED, RELINKED, KIND };

static void
changes_are_found(void **state)
{
	static const struct {
		enum change change;
		const char *path;
	} rows[] = {
		{ BYTE,     "usr/b" },
		{ MODE,     "usr/b" },
		{ GONE,     "usr/b" },
		{ ADDED,    "usr/c" },
		{ RELINKED, "l"     },
		{ KIND,     "usr/a" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *one = NULL;
		struct scratch *s;
		struct tree_index *x = NULL;

		begin(&one);
		s = one;
		assert_int_equal(walk(s, &x), 0);
		switch (rows[i].change) {
		case BYTE:
			scratch_put(s, "usr/b", "twO", 3);
			break;
		case MODE:
			assert_int_equal(fchmodat(s->fd, "usr/b", 0777, 0), 0);
			break;
		case GONE:
			assert_int_equal(unlinkat(s->fd, "usr/b", 0), 0);
			break;
		case ADDED:
			scratch_put(s, "usr/c", "", 0);
			break;
		case RELINKED:
			assert_int_equal(unlinkat(s->fd, "l", 0), 0);
			assert_int_equal(symlinkat("usr/b", s->fd, "l"), 0);
			break;
		case KIND:
			assert_int_equal(unlinkat(s->fd, "usr/a", 0), 0);
			assert_int_equal(mkdirat(s->fd, "usr/a", 0755), 0);
			break;
		}
		assert_int_equal(tree_folder_is(x, s->fd), REASON_ALTERED);
		assert_string_equal(refuse_last()->operand, rows[i].path);
		tree_index_free(x);
		(void)scratch_teardown(&one);
	}
}

static void
unsafe_things_on_disk(void **state)
{
	const struct scratch *s = *state;
	struct tree_index *x = NULL;

	assert_int_equal(fchmodat(s->fd, "usr/b", 04755, 0), 0);
	assert_int_equal(walk(s, &x), REASON_UNSAFE_TREE);
	assert_string_equal(refuse_last()->operand, "usr/b");
	assert_int_equal(fchmodat(s->fd, "usr/b", 0755, 0), 0);

	assert_int_equal(mkfifoat(s->fd, "usr/pipe", 0600), 0);
	assert_int_equal(walk(s, &x), REASON_UNSAFE_TREE);
	assert_string_equal(refuse_last()->operand, "usr/pipe");
	assert_int_equal(unlinkat(s->fd, "usr/pipe", 0), 0);

	assert_int_equal(symlinkat("../../etc/passwd", s->fd, "usr/out"), 0);
	assert_int_equal(walk(s, &x), REASON_UNSAFE_TREE);
	assert_string_equal(refuse_last()->operand, "usr/out");
	assert_int_equal(unlinkat(s->fd, "usr/out", 0), 0);

	scratch_put(s, "usr/a\nb", "", 0);
	assert_int_equal(walk(s, &x), REASON_UNSAFE_TREE);
	assert_null(x);
}

/* Below s: refused about operand, once, and nothing was indexed. */
static void
expect(const struct scratch *s, enum reason reason, const char *operand, const char *text)
{
	uint64_t before = refuse_count(reason);
	struct tree_index *x = NULL;

	assert_int_equal(walk(s, &x), reason);
	assert_null(x);
	assert_int_equal(refuse_last()->reason, reason);
	assert_int_equal(refuse_count(reason), before + 1);
	assert_string_equal(refuse_last()->text, text);
	if (operand)
		assert_string_equal(refuse_last()->operand, operand);
}

static void
a_file_of_more_than_4_gib(void **state)
{
	const struct scratch *s = *state;
	int fd = openat(s->fd, "usr/b", O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)TREE_FILE_MAX + 1), 0);
	close(fd);
	expect(s, REASON_TOO_LARGE, "usr/b", "more than 4294967296 bytes");
}

static void
file_capabilities(void **state)
{
	/* Version 2, effective, cap_net_bind_service permitted. */
	static const uint8_t cap[20] = { 1, 0, 0, 2, 0, 4, 0, 0 };
	const struct scratch *s = *state;
	int fd = openat(s->fd, "usr/b", O_WRONLY | O_CLOEXEC);

	if (fsetxattr(fd, "security.capability", cap, sizeof(cap), 0) < 0) {
		close(fd);
		skip(); /* only root sets them */
	}
	close(fd);
	expect(s, REASON_UNSAFE_TREE, "usr/b", "has file capabilities");
}

static void
attributes_that_no_release_carries(void **state)
{
	/* Version 2; an entry that lets one user more read, and its mask. */
	static const uint8_t acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 1, 0, 0, 0, 4, 0, 4, 0, 255, 255,
		255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255 };
	static const struct {
		const char *path, *name;
		const void *value;
		size_t len;
		const char *text; /* NULL: nothing to refuse */
	} rows[] = {
		{ "usr/b", "security.ima", "x", 1, "has the extended attribute security.ima" },
		{ "usr", "trusted.overlay.opaque", "y", 1, "has the extended attribute trusted.overlay.opaque" },
		{ "usr/b", "system.posix_acl_access", acl, sizeof(acl), "has an access control list: setfacl -b" },
		{ "usr/b", "user.note", "x", 1, NULL },
	};
	const struct scratch *s = *state;
	int set = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = openat(s->fd, rows[i].path, O_RDONLY | O_CLOEXEC);
		int r = fsetxattr(fd, rows[i].name, rows[i].value, rows[i].len, 0);
		struct tree_index *x = NULL;

		if (r < 0) {
			print_message("%s cannot be set here\n", rows[i].name);
			close(fd);
			continue;
		}
		set++;
		if (rows[i].text) {
			expect(s, REASON_UNSAFE_TREE, rows[i].path, rows[i].text);
		} else {
			assert_int_equal(walk(s, &x), 0);
			tree_index_free(x);
		}
		assert_int_equal(fremovexattr(fd, rows[i].name), 0);
		close(fd);
	}
	if (!set)
		skip(); /* the file system keeps none, or we are no root */
}

static void
sticky_folders(void **state)
{
	const struct scratch *s = *state;

	assert_int_equal(fchmodat(s->fd, "usr", 01755, 0), 0);
	expect(s, REASON_UNSAFE_TREE, "usr", "has set-user-id, set-group-id or sticky bits");
}

/* Make and enter n folders of this name. */
static int
dig(const struct scratch *s, const char *name, int n)
{
	int at = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < n; i++) {
		int next;

		assert_int_equal(mkdirat(at, name, 0755), 0);
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	return at;
}

static void
folders_without_end(void **state)
{
	const struct scratch *s = *state;

	close(dig(s, "d", 65));
	expect(s, REASON_UNSAFE_TREE, NULL, "the path has more than 64 steps");
}

static void
a_path_of_more_than_1023_bytes(void **state)
{
	const struct scratch *s = *state;
	char name[206];

	memset(name, 'n', 205);
	name[205] = '\0';
	close(dig(s, name, 5));
	expect(s, REASON_UNSAFE_TREE, NULL, "a path below it is too long");
}

static int
below_a_mount(void *arg)
{
	const struct scratch *outside = arg;
	uint64_t before = refuse_count(REASON_UNSAFE_TREE);
	struct tree_index *x = NULL;
	char path[128];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/usr", outside->path);
	if (enclave_cover(path) < 0)
		return 1;
	/* A descriptor from outside would not see the mount. */
	fd = open(outside->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || tree_index_new(&x, "a", "1", none) != 0)
		return 2;
	r = tree_walk(x, fd, NULL, NULL);
	close(fd);
	tree_index_free(x);
	return r != REASON_UNSAFE_TREE			   ? 3
		: refuse_count(r) != before + 1		   ? 4
		: strcmp(refuse_last()->operand, "usr") != 0 ? 5
		: strcmp(refuse_last()->text, "lies on another file system") != 0 ? 6
							   : 0;
}

static void
another_file_system(void **state)
{
	int r = enclave_run(below_a_mount, *state);

	if (r < 0)
		skip();
	assert_int_equal(r, 0);
}

/* The device numbers of its files are those of two file systems. */
static int
below_an_overlay(void *arg)
{
	const struct scratch *lower = arg;
	struct tree_index *x = NULL;
	char path[128];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/at", lower->path);
	if (mkdirat(lower->fd, "at", 0755) < 0 || enclave_overlay(path, lower->path) < 0)
		return 100;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || tree_index_new(&x, "a", "1", none) != 0)
		return 1;
	r = openat(fd, "usr/c", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (r < 0)
		return 2;
	close(r);
	r = tree_walk(x, fd, NULL, NULL);
	close(fd);
	if (r == 0 && x->n_entries != 6)
		r = 3;
	tree_index_free(x);
	return r < 0 ? 4 : r;
}

static void
files_of_an_overlay_lie_together(void **state)
{
	int r = enclave_run(below_an_overlay, *state);

	if (r < 0 || r == 100)
		skip();
	assert_int_equal(r, 0);
}

static void
opening_stays_beneath(void **state)
{
	const struct scratch *s = *state;
	const char *name;
	int fd;

	fd = beneath_open(s->fd, "usr/a", O_RDONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(beneath_open(s->fd, "l", O_RDONLY, 0), -ELOOP);
	assert_int_equal(beneath_open(s->fd, "../x", O_RDONLY, 0), -EXDEV);
	assert_int_equal(beneath_open(s->fd, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(beneath_open(s->fd, "usr/none", O_RDONLY, 0), -ENOENT);
	assert_int_equal(beneath_parent(&fd, &name, s->fd, "usr/new"), 0);
	assert_string_equal(name, "new");
	close(fd);
	assert_int_equal(beneath_parent(&fd, &name, s->fd, "none/new"), -ENOENT);
}

#define TREE_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, scratch_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TREE_TEST(a_folder_and_its_index),
		cmocka_unit_test(changes_are_found),
		TREE_TEST(unsafe_things_on_disk),
		TREE_TEST(a_file_of_more_than_4_gib),
		TREE_TEST(file_capabilities),
		TREE_TEST(attributes_that_no_release_carries),
		TREE_TEST(sticky_folders),
		TREE_TEST(folders_without_end),
		TREE_TEST(a_path_of_more_than_1023_bytes),
		TREE_TEST(another_file_system),
		TREE_TEST(files_of_an_overlay_lie_together),
		TREE_TEST(opening_stays_beneath),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
