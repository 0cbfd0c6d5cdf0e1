/* A database: prepared statements, transactions, migrations.  Today SQLite (db_sqlite.c, the only file
 * that includes it); the SQL is the plain kind that PostgreSQL takes as well.
 *
 * Values are bound by a letter each, in the order of ?1, ?2, ...:
 *	t  const char *           text, NULL: null
 *	i  int64_t                whole number
 *	r  double
 *	b  const void *, size_t   bytes, NULL: null
 *
 *	SCOPED(db_query_endp) struct db_query *q = NULL;
 *	r = db_query(&q, db, "SELECT site, seen FROM sites WHERE customer = ?1", "t", customer);
 *	while (r == 0 && (r = db_next(q)) == DB_ROW)
 *		use(db_text(q, 0), db_i64(q, 1));
 *	r is now 0 (no more rows) or a fault.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct db;
struct db_query;

enum { DB_ROW = 1 };

/* What a room brings to a schema.  steps[i] is SQL (several statements) from version i to i + 1; what has
 * shipped is never edited, only followed by another. */
struct db_migration {
	const char *room; /* "telemetry/store" */
	const char *const *steps;
	size_t n_steps;
};

/* Open or create the file (0600); ":memory:" for tests.  Blocks on disk.  Returns 0 or a fault. */
int db_open(struct db **ret, const char *path);
struct db *db_close(struct db *db); /* an open transaction is rolled back; NULL is taken */
SCOPED_DESTRUCTOR(struct db, db_close)

/* Bring each room's tables to its newest version, each in one transaction.  Returns 0; REASON_CONFLICT
 * (logged) where the file is newer than this program; or a fault. */
int db_migrate(struct db *db, const struct db_migration *migrations, size_t n);

/* Run one statement that returns no rows. */
int db_exec(struct db *db, const char *sql, const char *types, ...);
/* Rows changed by the last db_exec(). */
int64_t db_changes(struct db *db);
/* Rowid of the last insert. */
int64_t db_last_id(struct db *db);

/* Start a query; *ret is the caller's to end.  sql must be a literal (statements are kept prepared by its
 * address). */
int db_query(struct db_query **ret, struct db *db, const char *sql, const char *types, ...);
int db_next(struct db_query *q); /* DB_ROW, 0 at the end, or a fault */
struct db_query *db_query_end(struct db_query *q);
SCOPED_DESTRUCTOR(struct db_query, db_query_end)

const char *db_text(struct db_query *q, int column); /* borrowed until db_next(); "" for null */
int64_t db_i64(struct db_query *q, int column);
double db_real(struct db_query *q, int column);
const void *db_blob(struct db_query *q, int column, size_t *ret_len); /* borrowed; NULL for null */
bool db_null(struct db_query *q, int column);

/* One number: the first column of the first row, or otherwise. */
int db_number(struct db *db, int64_t *ret, int64_t otherwise, const char *sql, const char *types, ...);

/* A write transaction.  They do not nest: db_begin() inside one is a fault. */
int db_begin(struct db *db);
int db_commit(struct db *db); /* a failed commit has rolled back */
void db_rollback(struct db *db); /* nothing where there is none */

/* SCOPED(db_rollbackp) struct db *tx = NULL; r = db_begin(db); tx = db; ... r = db_commit(STEAL(tx)) */
static inline void
db_rollbackp(struct db **db)
{
	if (*db)
		db_rollback(*db);
}
