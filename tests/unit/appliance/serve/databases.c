#include "appliance/serve/databases.h"

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

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

static const char *const steps[] = { "CREATE TABLE t(a TEXT) STRICT" };
static const struct db_migration room = { "room", steps, 1 };

struct fixture {
	struct scratch scratch;
	struct databases *d;
};

static int
setup(void **state)
{
	static struct fixture f;
	struct db *db;

	f = (struct fixture){ 0 };
	clock_fake(UINT64_C(1800000000) * CLOCK_US_PER_S, 1000 * CLOCK_US_PER_S);
	scratch_make(&f.scratch);
	assert_int_equal(databases_open(&f.d, f.scratch.path, &room, 1, &room, 1), 0);
	for (const char *const *name = (const char *const[]){ "acme", "globex", "initech", NULL }; *name; name++) {
		assert_int_equal(databases_customer(f.d, *name, &db), 0);
		assert_int_equal(db_exec(db, "INSERT INTO t(a) VALUES(?1)", "t", *name), 0);
	}
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	databases_close(f->d);
	scratch_remove(&f->scratch);
	clock_real();
	return 0;
}

static void
reopen(struct fixture *f)
{
	f->d = databases_close(f->d);
	assert_int_equal(databases_open(&f->d, f->scratch.path, &room, 1, &room, 1), 0);
}

static char *
file_of(const struct fixture *f, const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/customers/%s", f->scratch.path, name);
	return path;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

/* --- rights and names ----------------------------------------------------------------------------------- */
static void
test_files_are_for_the_hub_alone(void **state)
{
	static const char *const files[] = { "acme.db", "acme.db-wal", "acme.db-shm" };
	struct fixture *f = *state;
	struct db *db;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(mode_of(file_of(f, files[i])), 0600);
	assert_int_equal(mode_of(file_of(f, "")), 0700);
	f->d = databases_close(f->d);
	/* As a copy by an ordinary command would leave them. */
	assert_int_equal(chmod(file_of(f, "acme.db"), 0644), 0);
	assert_int_equal(chmod(file_of(f, ""), 0755), 0);
	reopen(f);
	assert_int_equal(databases_customer(f->d, "acme", &db), 0);
	assert_int_equal(mode_of(file_of(f, "acme.db")), 0600);
	assert_int_equal(mode_of(file_of(f, "")), 0700);
}

static void
test_a_name_is_lower_case_and_no_path(void **state)
{
	static const char *const bad[] = { "", ".", "..", "../acme", "a/../acme", "acme/", "/acme", "Acme", "ACME", "acme ",
		"acme\n", "acme%2e", "*", "a,b", "-acme", "_acme", ".acme", "\xc3\xa4""cme", "acm\xd0\xb5", "acme\xe2\x80\x8b",
		"\xef\xbd\x81""cme", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	struct fixture *f = *state;
	struct db *db = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_false(databases_is_name(bad[i]));
		assert_int_equal(databases_customer(f->d, bad[i], &db), REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_false(databases_has(f->d, bad[i]));
		assert_null(db);
	}
	assert_true(databases_is_name("a..b") && databases_is_name("acme.db-wal") && databases_is_name("0"));
}

static int
count(const char *name, struct db *db, void *arg)
{
	int64_t rows;

	if (db_number(db, &rows, 0, "SELECT count(*) FROM t WHERE a = ?1", "t", name) < 0 || rows != 1)
		return -EIO;
	++*(int *)arg;
	return 0;
}

/* Names that a file system might fold together are no customers', whoever put the files there. */
static void
test_a_file_that_no_customer_has_is_no_customers(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	assert_int_equal(close(open(file_of(f, "Acme.db"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(close(open(file_of(f, "acme.txt"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(databases_each(f->d, NULL, count, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(databases_ailing(f->d, NULL, NULL), 0);
}

/* --- one customer's damage -------------------------------------------------------------------------------- */
static void
note_globex(const char *name, int why, void *arg)
{
	if (strcmp(name, "globex") == 0)
		*(int *)arg = why;
}

static void
overwrite(const char *path)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_equal(write(fd, "this is no database, whatever it is called\n", 43), 43);
	assert_int_equal(close(fd), 0);
}

static void
replace_by_symlink(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("acme.db", path), 0);
}

static void
replace_by_hard_link(const char *path)
{
	char other[256];

	(void)snprintf(other, sizeof(other), "%.*s/acme.db", (int)(strrchr(path, '/') - path), path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(link(other, path), 0);
}

static void
replace_by_fifo(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void
test_a_bad_file_is_its_customers_trouble_alone(void **state)
{
	static const struct {
		const char *name;
		void (*damage)(const char *path);
		int why;
		size_t good;
	} rows[] = {
		{ "not a database", overwrite, -EUCLEAN, 2 },
		{ "a link to another customer's", replace_by_symlink, -ELOOP, 2 },
		{ "a pipe", replace_by_fifo, -EMLINK, 2 },
		/* Which of two names is the customer's, nobody can say: both wait. */
		{ "the same file as another customer's", replace_by_hard_link, -EMLINK, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f = *state;
		struct db *db = NULL;
		int n = 0, why = 0;

		print_message("%s\n", rows[i].name);
		f->d = databases_close(f->d);
		rows[i].damage(file_of(f, "globex.db"));
		assert_int_equal(databases_open(&f->d, f->scratch.path, &room, 1, &room, 1), 0);
		assert_int_equal(databases_customer(f->d, "globex", &db), rows[i].why);
		assert_null(db);
		assert_int_equal(databases_each(f->d, NULL, count, &n), 0);
		assert_int_equal(n, rows[i].good);
		assert_int_equal(databases_ailing(f->d, note_globex, &why), 3 - rows[i].good);
		assert_int_equal(why, rows[i].why);
		teardown(state);
		setup(state);
	}
}

/* An open file whose pages turned bad, then came back from a copy. */
static int
fail_globex(const char *name, struct db *db, void *arg)
{
	int *n = arg;

	(void)db;
	if (strcmp(name, "globex") == 0)
		return -EIO;
	++*n;
	return 0;
}

static void
test_what_fails_is_opened_anew_and_forgotten_once_it_is_whole(void **state)
{
	struct fixture *f = *state;
	struct db *before, *after;
	int n = 0;

	assert_int_equal(databases_customer(f->d, "globex", &before), 0);
	assert_int_equal(databases_each(f->d, NULL, fail_globex, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(databases_ailing(f->d, NULL, NULL), 1);
	assert_int_equal(databases_each(f->d, NULL, fail_globex, &n), 0);
	assert_int_equal(databases_ailing(f->d, NULL, NULL), 1);
	assert_int_equal(databases_customer(f->d, "globex", &after), 0);
	n = 0;
	assert_int_equal(databases_each(f->d, NULL, count, &n), 0);
	assert_int_equal(n, 3);
	clock_fake(UINT64_C(1800000000) * CLOCK_US_PER_S, (1000 + DATABASES_AILING_S + 1) * CLOCK_US_PER_S);
	assert_int_equal(databases_ailing(f->d, NULL, NULL), 0);
}

static bool
is_acme(const char *name, void *arg)
{
	(void)arg;
	return strcmp(name, "acme") == 0;
}

static void
test_a_file_that_nobody_wants_is_not_opened(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	f->d = databases_close(f->d);
	overwrite(file_of(f, "globex.db"));
	assert_int_equal(databases_open(&f->d, f->scratch.path, &room, 1, &room, 1), 0);
	assert_int_equal(databases_each(f->d, is_acme, count, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(databases_ailing(f->d, NULL, NULL), 0);
}

static int
stop_at_globex(const char *name, struct db *db, void *arg)
{
	(void)db;
	++*(int *)arg;
	return strcmp(name, "globex") == 0 ? REASON_BUSY : 0;
}

static void
test_an_outcome_ends_the_round(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	assert_int_equal(databases_each(f->d, NULL, stop_at_globex, &n), REASON_BUSY);
	assert_int_equal(n, 2);
}

static void
test_a_file_of_a_newer_program_is_as_good_as_damaged(void **state)
{
	struct fixture *f = *state;
	uint64_t before = refuse_count(REASON_CONFLICT);
	struct db *db;

	assert_int_equal(databases_customer(f->d, "globex", &db), 0);
	assert_int_equal(db_exec(db, "UPDATE migrations SET version = 9", ""), 0);
	reopen(f);
	assert_int_equal(databases_customer(f->d, "globex", &db), -EUCLEAN);
	assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
	assert_int_equal(databases_ailing(f->d, NULL, NULL), 1);
	assert_int_equal(databases_customer(f->d, "acme", &db), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_files_are_for_the_hub_alone),
		TEST(test_a_name_is_lower_case_and_no_path),
		TEST(test_a_file_that_no_customer_has_is_no_customers),
		TEST(test_a_bad_file_is_its_customers_trouble_alone),
		TEST(test_what_fails_is_opened_anew_and_forgotten_once_it_is_whole),
		TEST(test_a_file_that_nobody_wants_is_not_opened),
		TEST(test_an_outcome_ends_the_round),
		TEST(test_a_file_of_a_newer_program_is_as_good_as_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
