#include "appliance/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/sync_fails.h"

static struct scratch scratch;
static int dir_fd; /* the scratch folder */

static int
make_folder(void **state)
{
	(void)state;
	scratch_make(&scratch);
	dir_fd = scratch.fd;
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	return 0;
}

static void
assert_file(const char *name, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1000);

	assert_int_equal(fs_read(dir_fd, name, 1000, &b), 0);
	assert_string_equal(buf_text(&b), text);
}

static size_t
count_entries(void)
{
	DIR *d = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void
replace_replaces_whole_files(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fs_replace(dir_fd, "a", "one", 3, 0640), 0);
	assert_file("a", "one");
	assert_int_equal(fs_replace(dir_fd, "a", "", 0, 0600), 0);
	assert_file("a", "");
	assert_int_equal(fstatat(dir_fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
a_link_in_the_files_place_is_replaced_not_followed(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fs_replace(dir_fd, "target", "keep", 4, 0600), 0);
	assert_int_equal(symlinkat("target", dir_fd, "link"), 0);
	assert_int_equal(fs_replace(dir_fd, "link", "new", 3, 0600), 0);
	assert_file("target", "keep");
	assert_int_equal(fstatat(dir_fd, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void
a_failed_replace_leaves_the_old_file_and_nothing_else(void **state)
{
	struct rlimit before, small;
	char large[8192] = { 0 };
	size_t entries;

	(void)state;
	assert_int_equal(fs_replace(dir_fd, "b", "old", 3, 0600), 0);
	entries = count_entries();
	/* The file may not grow past 4 KiB: the write fails half way. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4096;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(fs_replace(dir_fd, "b", large, sizeof(large), 0600), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_file("b", "old");
	assert_int_equal(count_entries(), entries);
	/* The rename fails: a folder stands there. */
	assert_int_equal(mkdirat(dir_fd, "folder", 0700), 0);
	entries = count_entries();
	assert_true(fs_replace(dir_fd, "folder", "x", 1, 0600) < 0);
	assert_int_equal(count_entries(), entries);
	assert_int_equal(fs_replace(dir_fd, "no/such", "x", 1, 0600), -EINVAL);
}

static void
reading_says_why_not(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1000);

	(void)state;
	assert_int_equal(fs_replace(dir_fd, "four", "1234", 4, 0600), 0);
	assert_int_equal(fs_read(dir_fd, "absent", 10, &b), REASON_NOT_FOUND);
	assert_int_equal(fs_read(dir_fd, "four/x", 10, &b), REASON_NOT_FOUND);
	assert_int_equal(fs_read(dir_fd, "four", 3, &b), REASON_TOO_LARGE);
	assert_int_equal(fs_read(dir_fd, "four", 4, &b), 0);
	assert_int_equal(symlinkat("four", dir_fd, "to-four"), 0);
	assert_int_equal(fs_read(dir_fd, "to-four", 10, &b), REASON_MALFORMED);
	assert_int_equal(mkfifoat(dir_fd, "fifo", 0600), 0);
	assert_int_equal(fs_read(dir_fd, "fifo", 10, &b), REASON_MALFORMED); /* and does not hang */
	assert_int_equal(mkdirat(dir_fd, "d", 0700), 0);
	assert_int_equal(fs_read(dir_fd, "d", 10, &b), REASON_MALFORMED);
	/* procfs tells no size: the cap holds all the same */
	assert_int_equal(fs_read(AT_FDCWD, "/proc/self/status", 100, &b), REASON_TOO_LARGE);
}

static void
folders_are_made_with_their_parents(void **state)
{
	SCOPED(scope_close) int fd = -1;
	struct stat st;
	int other = -1;

	(void)state;
	assert_int_equal(fs_open_dir(&fd, dir_fd, "x/y//z/", 0750), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(symlinkat("x", dir_fd, "lx"), 0);
	assert_true(fs_open_dir(&other, dir_fd, "lx", 0700) < 0);
	assert_int_equal(other, -1);
}

/* Else whoever comes next finds it, and takes it for one that outlives a power cut. */
static void
a_folder_that_could_not_be_made_durable_is_none(void **state)
{
	SCOPED(scope_close) int fd = -1;

	(void)state;
	folder_failures = 1;
	assert_int_equal(fs_open_dir(&fd, dir_fd, "doubt/below", 0700), -EIO);
	assert_int_equal(faccessat(dir_fd, "doubt", F_OK, 0), -1);
	assert_int_equal(fs_open_dir(&fd, dir_fd, "doubt/below", 0700), 0);
}

static void
a_deep_tree_is_removed(void **state)
{
	int at = dup(dir_fd);

	(void)state;
	assert_int_equal(mkdirat(dir_fd, "outside", 0700), 0);
	for (int i = 0; i < 300; i++) {
		int next;

		assert_int_equal(mkdirat(at, "deep", 0700), 0);
		assert_int_equal(fs_replace(at, "file", "x", 1, 0400), 0);
		next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
	}
	assert_int_equal(symlinkat(scratch.path, at, "up"), 0);
	(void)close(at);
	assert_int_equal(fs_remove_tree(dir_fd, "deep"), 0);
	assert_int_equal(faccessat(dir_fd, "deep", F_OK, 0), -1);
	assert_int_equal(faccessat(dir_fd, "outside", F_OK, 0), 0);
	assert_int_equal(fs_remove_tree(dir_fd, "deep"), 0); /* gone already */
}

static bool
is_there(const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
what_was_on_its_way_to_a_name_is_swept(void **state)
{
	static const char *const gone[] = { "sweep/.tmp.0123456789abcdef", "sweep/below/.tmp.state" },
				*const stay[] = { "sweep/state", "sweep/.tmpx", "sweep/below/.lock", "sweep/below/deep/.tmp.1",
					"sweep/.tmp.folder", "sweep/.tmp.link", "elsewhere/.tmp.1" };
	SCOPED(scope_close) int fd = -1;

	(void)state;
	assert_int_equal(fs_open_dir(&fd, dir_fd, "sweep/below/deep", 0700), 0);
	scope_close(&fd);
	assert_int_equal(fs_open_dir(&fd, dir_fd, "elsewhere", 0700), 0);
	assert_int_equal(symlinkat("../elsewhere", dir_fd, "sweep/link"), 0);
	assert_int_equal(symlinkat("state", dir_fd, "sweep/.tmp.link"), 0);
	assert_int_equal(mkdirat(dir_fd, "sweep/.tmp.folder", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(gone) + ARRAY_LEN(stay); i++) {
		const char *name = i < ARRAY_LEN(gone) ? gone[i] : stay[i - ARRAY_LEN(gone)];

		scope_close(&fd);
		if (!is_there(name))
			fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	scope_close(&fd);
	fd = openat(dir_fd, "sweep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_sweep(fd, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		assert_false(is_there(gone[i]));
	for (size_t i = 0; i < ARRAY_LEN(stay); i++)
		assert_true(is_there(stay[i]));
	assert_int_equal(fs_sweep(fd, 2), 0);
	assert_false(is_there("sweep/below/deep/.tmp.1"));
	assert_true(fs_sweep(-1, 0) < 0);
}

static void
a_memory_file_is_sealed(void **state)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(buf_done) struct buf b = BUF_MAX(10);

	(void)state;
	assert_int_equal(fs_memfd(&fd, "test", "abc", 3), 0);
	assert_int_equal(fs_read_fd(fd, 10, &b), 0);
	assert_string_equal(buf_text(&b), "abc");
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
}

static void
paths_follow_the_state_folder(void **state)
{
	struct paths p, untouched = { "e", "l", "r" };
	char long_name[300], cwd[512], want[600];

	(void)state;
	assert_int_equal(fs_paths(&p, NULL), 0);
	assert_string_equal(p.run, "/run/mainstay");
	assert_int_equal(fs_paths(&p, "/x/y//"), 0);
	assert_string_equal(p.etc, "/x/y/etc");
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	(void)snprintf(want, sizeof(want), "%s/rel/lib", cwd);
	assert_int_equal(fs_paths(&p, "rel"), 0);
	assert_string_equal(p.lib, want);
	memset(long_name, 'x', sizeof(long_name));
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	p = untouched;
	assert_int_equal(fs_paths(&p, long_name), REASON_USAGE);
	assert_int_equal(refuse_last()->reason, REASON_USAGE);
	assert_int_equal(fs_paths(&p, ""), REASON_USAGE);
	assert_memory_equal(&p, &untouched, sizeof(p));
}

static void
a_state_folder_below_a_removed_one_is_refused(void **state)
{
	char back[512];
	struct paths p;

	(void)state;
	assert_non_null(getcwd(back, sizeof(back)));
	assert_int_equal(mkdirat(dir_fd, "gone", 0700), 0);
	assert_int_equal(fchdir(dir_fd), 0);
	assert_int_equal(chdir("gone"), 0);
	assert_int_equal(unlinkat(dir_fd, "gone", AT_REMOVEDIR), 0);
	assert_int_equal(fs_paths(&p, "rel"), REASON_USAGE);
	assert_int_equal(chdir(back), 0);
}

static bool swaps; /* somebody puts a link to victim in made's place, in the worst moment */

static void
swap(void)
{
	if (!swaps)
		return;
	swaps = false;
	assert_int_equal(renameat(dir_fd, "made", dir_fd, "away"), 0);
	assert_int_equal(symlinkat("victim", dir_fd, "made"), 0);
}

/* In libc's place. */
int
fchmodat(int fd, const char *path, mode_t mode, int flags)
{
	(void)flags;
	swap();
	return (int)syscall(SYS_fchmodat, fd, path, mode);
}

int
fchmod(int fd, mode_t mode)
{
	swap();
	return (int)syscall(SYS_fchmod, fd, mode);
}

static void
a_made_folder_swapped_for_a_link_lends_its_mode_to_nobody(void **state)
{
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	(void)state;
	assert_int_equal(mkdirat(dir_fd, "victim", 0700), 0);
	swaps = true;
	assert_int_equal(fs_open_dir(&fd, dir_fd, "made", 0755), 0);
	assert_false(swaps);
	assert_int_equal(fstatat(dir_fd, "victim", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	/* The same on the way to another one. */
	scope_close(&fd);
	assert_int_equal(unlinkat(dir_fd, "made", 0), 0);
	assert_int_equal(unlinkat(dir_fd, "away", AT_REMOVEDIR), 0);
	swaps = true;
	assert_int_equal(fs_open_dir(&fd, dir_fd, "made/below", 0755), 0);
	assert_int_equal(fstatat(dir_fd, "victim", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(faccessat(dir_fd, "away/below", F_OK, 0) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_made_folder_swapped_for_a_link_lends_its_mode_to_nobody),
		cmocka_unit_test(replace_replaces_whole_files),
		cmocka_unit_test(a_link_in_the_files_place_is_replaced_not_followed),
		cmocka_unit_test(a_failed_replace_leaves_the_old_file_and_nothing_else),
		cmocka_unit_test(reading_says_why_not),
		cmocka_unit_test(folders_are_made_with_their_parents),
		cmocka_unit_test(a_folder_that_could_not_be_made_durable_is_none),
		cmocka_unit_test(a_deep_tree_is_removed),
		cmocka_unit_test(what_was_on_its_way_to_a_name_is_swept),
		cmocka_unit_test(a_memory_file_is_sealed),
		cmocka_unit_test(paths_follow_the_state_folder),
		cmocka_unit_test(a_state_folder_below_a_removed_one_is_refused),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
