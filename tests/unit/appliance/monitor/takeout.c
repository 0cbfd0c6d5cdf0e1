/* What a customer takes along: theirs, and no key that commands. */
#include "appliance/monitor/takeout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/audit.h"
#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"
#include "tests/fakes/scratch.h"

static struct scratch scratch;
static struct paths paths;
static char out[256];

static void
put(const char *root, const char *name, const char *text)
{
	char path[512];
	char *slash;
	int fd, file;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, path, 0700), 0);
	file = openat(fd, slash + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	assert_true(file >= 0);
	assert_int_equal(fs_write_all(file, text, strlen(text)), 0);
	close(file);
	close(fd);
}

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	assert_int_equal(fs_paths(&paths, scratch.path), 0);
	(void)snprintf(out, sizeof(out), "%s/out", scratch.path);
	put(paths.etc, "policy.yaml", "v: 1\n");
	put(paths.lib, "telemetry/spool/metrics/0", "sent");
	put(paths.lib, "telemetry/spool/.tmp.7", "half");
	put(paths.lib, "telemetry/spool/pseudonym.key", "SECRET");
	put(paths.lib, "monitor/site.key", "SECRET");
	put(paths.lib, "monitor/card.json", "{}");
	put(paths.lib, "monitor/requests/r-1.json", "{}");
	put(paths.lib, "outbox/results/1", "result");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	return 0;
}

static bool
has(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
what_is_the_customers_is_copied_and_no_secret(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(16 * 1024);
	char link[512];
	struct stat st;
	int fd = -1;

	(void)state;
	(void)snprintf(link, sizeof(link), "%s/telemetry/spool/link", paths.lib);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(takeout_open(&fd, out), 0);
	assert_int_equal(takeout_copy(fd, &paths), 0);
	assert_int_equal(takeout_readme(fd), 0);
	assert_true(has(fd, "policy.yaml") && has(fd, "ledger/spool/metrics/0") && has(fd, "vendor.card"));
	assert_true(has(fd, "requests/r-1.json") && has(fd, "ledger/outbox/results/1"));
	assert_false(has(fd, "ledger/spool/pseudonym.key") || has(fd, "ledger/spool/.tmp.7") ||
		has(fd, "ledger/spool/link") || has(fd, "site.key"));
	assert_false(has(fd, "cluster.yaml")); /* there was none */
	assert_int_equal(fstatat(fd, "policy.yaml", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(fs_read(fd, "README", b.max, &b), 0);
	assert_non_null(strstr(buf_text(&b), "audit verify DIR"));
	close(fd);
}

static void
a_folder_with_something_in_it_is_left_alone(void **state)
{
	uint64_t n = refuse_count(REASON_CONFLICT), m = refuse_count(REASON_NOT_FOUND);
	int fd = -1;

	(void)state;
	put(out, "mine", "x");
	assert_int_equal(takeout_open(&fd, out), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), n + 1);
	assert_int_equal(takeout_open(&fd, "/proc/nowhere"), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), m + 1);
	assert_int_equal(fd, -1);
}

static void
a_large_file_goes_along_and_one_beyond_the_limit_ends_it(void **state)
{
	const off_t large = 65 * 1024 * 1024; /* holes: no disk is filled */
	uint64_t n = refuse_count(REASON_TOO_LARGE);
	char path[512];
	struct stat st;
	int fd = -1;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/outbox/results/1", paths.lib);
	assert_int_equal(truncate(path, large), 0);
	assert_int_equal(takeout_open(&fd, out), 0);
	assert_int_equal(takeout_copy(fd, &paths), 0);
	assert_int_equal(fstatat(fd, "ledger/outbox/results/1", &st, 0), 0);
	assert_int_equal(st.st_size, large);
	assert_false(has(fd, "ledger/outbox/results/.half"));
	assert_int_equal(truncate(path, TAKEOUT_FILE_MAX + 1), 0);
	assert_int_equal(takeout_copy(fd, &paths), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), n + 1);
	assert_string_equal(refuse_last()->operand, "1");
	close(fd);
}

/* The log is taken whole, and only if it is whole. */
static void
the_log_is_verified_where_it_arrives(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL, *other = NULL;
	SCOPED(scope_close) int lib = -1, log_fd = -1;
	struct audit *log = NULL;
	int fd = -1;

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(ed25519_generate(&other), 0);
	assert_int_equal(fs_open_dir(&lib, AT_FDCWD, paths.lib, 0700), 0);
	assert_int_equal(fs_open_dir(&log_fd, lib, "audit", 0700), 0);
	assert_int_equal(audit_open(&log, log_fd, "site1", key), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(audit_append(log, AUDIT_LEAVE, "me", "site1", NULL, REASON_NONE, NULL, NULL), 0);
	audit_free(log);
	assert_int_equal(takeout_open(&fd, out), 0);
	put(out, "audit/rubbish", "of a copy that was cut off");
	assert_int_equal(takeout_log(fd, &paths, ed25519_public(key)), 0);
	assert_false(has(fd, "audit/rubbish"));
	assert_true(has(fd, "audit/checkpoint"));
	assert_true(takeout_log(fd, &paths, ed25519_public(other)) > 0);
	put(paths.lib, "audit/rubbish", "x");
	assert_int_equal(takeout_log(fd, &paths, ed25519_public(key)), REASON_ALTERED);
	close(fd);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(what_is_the_customers_is_copied_and_no_secret),
		TEST(a_folder_with_something_in_it_is_left_alone),
		TEST(a_large_file_goes_along_and_one_beyond_the_limit_ends_it),
		TEST(the_log_is_verified_where_it_arrives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
