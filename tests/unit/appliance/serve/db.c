#include "appliance/serve/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/databases.h"
#include "tests/fakes/scratch.h"

static const char *const steps[] = {
	"CREATE TABLE t(a TEXT PRIMARY KEY, b INTEGER, c REAL, d BLOB) STRICT",
	"ALTER TABLE t ADD COLUMN e TEXT NOT NULL DEFAULT 'new'",
};

static struct db_migration
room(size_t n)
{
	return (struct db_migration){ "room", steps, n };
}

static void
test_values_come_back_as_they_went(void **state)
{
	SCOPED(db_closep) struct db *db = NULL;
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct db_migration m = room(2);
	const uint8_t bytes[] = { 0, 1, 255 };
	const void *p;
	size_t len;

	(void)state;
	assert_int_equal(db_open(&db, ":memory:"), 0);
	assert_int_equal(db_migrate(db, &m, 1), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t(a, b, c, d) VALUES(?1, ?2, ?3, ?4)", "tirb", "x", INT64_MIN, 0.5,
				 bytes, sizeof(bytes)),
		0);
	assert_int_equal(db_exec(db, "INSERT INTO t(a, b, c, d) VALUES(?1, ?2, ?3, ?4)", "tirb", "y", (int64_t)1, 1.0,
				 NULL, (size_t)0),
		0);
	assert_int_equal(db_query(&q, db, "SELECT a, b, c, d, e FROM t ORDER BY a", ""), 0);
	assert_int_equal(db_next(q), DB_ROW);
	assert_string_equal(db_text(q, 0), "x");
	assert_true(db_i64(q, 1) == INT64_MIN);
	assert_true(db_real(q, 2) == 0.5);
	p = db_blob(q, 3, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(p, bytes, 3);
	assert_string_equal(db_text(q, 4), "new");
	assert_int_equal(db_next(q), DB_ROW);
	assert_true(db_null(q, 3));
	assert_null(db_blob(q, 3, &len));
	assert_int_equal(db_next(q), 0);
}

static void
test_migrations_go_on_where_they_stopped_and_never_back(void **state)
{
	struct db_migration one = room(1), two = room(2);
	struct scratch s;
	char path[128];
	struct db *db;
	struct stat st;
	int64_t n;

	(void)state;
	scratch_make(&s);
	(void)snprintf(path, sizeof(path), "%s/a.db", s.path);
	assert_int_equal(db_open(&db, path), 0);
	assert_int_equal(db_migrate(db, &one, 1), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t(a) VALUES('kept')", ""), 0);
	db_close(db);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_equal(db_open(&db, path), 0);
	assert_int_equal(db_migrate(db, &two, 1), 0);
	assert_int_equal(db_migrate(db, &two, 1), 0);
	assert_int_equal(db_number(db, &n, 0, "SELECT count(*) FROM t WHERE a = 'kept' AND e = 'new'", ""), 0);
	assert_int_equal(n, 1);
	assert_int_equal(db_migrate(db, &one, 1), REASON_CONFLICT);
	assert_int_equal(refuse_last()->reason, REASON_CONFLICT);
	assert_int_equal(db_number(db, &n, 0, "SELECT version FROM migrations WHERE room = 'room'", ""), 0);
	assert_int_equal(n, 2);
	db_close(db);
	scratch_remove(&s);
}

static void
test_what_is_not_committed_is_not_there(void **state)
{
	SCOPED(db_closep) struct db *db = NULL;
	struct db_migration m = room(2);
	int64_t n;

	(void)state;
	assert_int_equal(db_open(&db, ":memory:"), 0);
	assert_int_equal(db_migrate(db, &m, 1), 0);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_begin(db), -EALREADY);
	assert_int_equal(db_exec(db, "INSERT INTO t(a) VALUES('gone')", ""), 0);
	db_rollback(db);
	db_rollback(db);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t(a) VALUES('stays')", ""), 0);
	assert_int_equal(db_changes(db), 1);
	assert_int_equal(db_commit(db), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t(a) VALUES('stays')", ""), -EEXIST);
	assert_int_equal(db_exec(db, "SELECT * FROM nowhere", ""), -EINVAL);
	assert_int_equal(db_number(db, &n, 0, "SELECT count(*) FROM t", ""), 0);
	assert_int_equal(n, 1);
}

static int
count_each(const char *name, struct db *db, void *arg)
{
	int *n = arg;

	(void)db;
	assert_true(strcmp(name, "acme") == 0 || strcmp(name, "globex") == 0);
	(*n)++;
	return 0;
}

static void
test_each_customer_has_a_file_of_its_own(void **state)
{
	static const char *const bad[] = { "", "../x", "a/b", ".hidden", "Acme", "a b", "-x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	SCOPED(databases_closep) struct databases *d = NULL;
	struct db_migration m = room(2);
	struct db *acme, *globex, *again;
	struct scratch s;
	int n = 0;

	(void)state;
	scratch_make(&s);
	assert_int_equal(databases_open(&d, s.path, &m, 1, &m, 1), 0);
	assert_false(databases_has(d, "acme"));
	assert_int_equal(databases_customer(d, "acme", &acme), 0);
	assert_int_equal(databases_customer(d, "globex", &globex), 0);
	assert_int_equal(databases_customer(d, "acme", &again), 0);
	assert_ptr_equal(acme, again);
	assert_ptr_not_equal(acme, globex);
	assert_true(databases_has(d, "acme"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(databases_customer(d, bad[i], &again), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_false(databases_has(d, bad[i]));
	}
	assert_int_equal(databases_each(d, NULL, count_each, &n), 0);
	assert_int_equal(n, 2);
	d = databases_close(d);
	scratch_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_come_back_as_they_went),
		cmocka_unit_test(test_migrations_go_on_where_they_stopped_and_never_back),
		cmocka_unit_test(test_what_is_not_committed_is_not_there),
		cmocka_unit_test(test_each_customer_has_a_file_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
