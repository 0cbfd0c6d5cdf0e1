#include "appliance/serve/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/db_sqlite.h"

/* A prepared statement, kept on its database for the next use of the same literal. */
struct db_query {
	struct db *db;
	struct db_query *next;
	const char *sql;
	struct sqlite3_stmt *stmt;
	bool busy;
};

struct db {
	struct sqlite3 *backend;
	struct db_query *queries; /* every one ever prepared; owned */
	bool in_transaction;
};

int
db_open(struct db **ret, const char *path)
{
	SCOPED(db_closep) struct db *db = calloc(1, sizeof(*db));
	int r;

	if (!db)
		return FAULT(-ENOMEM);
	r = db_sqlite_open(&db->backend, path);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(db);
	return 0;
}

struct db *
db_close(struct db *db)
{
	if (!db)
		return NULL;
	while (db->queries) {
		struct db_query *q = db->queries;

		db->queries = q->next;
		db_sqlite_finalize(q->stmt);
		free(q);
	}
	if (db->backend)
		db_sqlite_close(db->backend);
	free(db);
	return NULL;
}

/* A free statement of this literal, prepared at need and marked busy. */
static int
take(struct db_query **ret, struct db *db, const char *sql)
{
	struct db_query *q = db->queries;
	int r;

	while (q && (q->busy || q->sql != sql))
		q = q->next;
	if (!q) {
		q = calloc(1, sizeof(*q));
		if (!q)
			return FAULT(-ENOMEM);
		r = db_sqlite_prepare(&q->stmt, db->backend, sql);
		if (r < 0) {
			free(q);
			return FAULT(r);
		}
		q->db = db;
		q->sql = sql;
		q->next = db->queries;
		db->queries = q;
	}
	q->busy = true;
	*ret = q;
	return 0;
}

static int
bind(struct db_query *q, const char *types, va_list ap)
{
	int r = 0;

	for (int n = 1; *types && r == 0; types++, n++) {
		if (*types == 't') {
			r = db_sqlite_bind_text(q->stmt, n, va_arg(ap, const char *));
		} else if (*types == 'i') {
			r = db_sqlite_bind_i64(q->stmt, n, va_arg(ap, int64_t));
		} else if (*types == 'r') {
			r = db_sqlite_bind_real(q->stmt, n, va_arg(ap, double));
		} else if (*types == 'b') {
			const void *p = va_arg(ap, const void *);
			size_t len = va_arg(ap, size_t);

			r = db_sqlite_bind_blob(q->stmt, n, p, len);
		} else {
			r = -EINVAL;
		}
	}
	return r < 0 ? FAULT(r) : 0;
}

static int
start(struct db_query **ret, struct db *db, const char *sql, const char *types, va_list ap)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = take(&q, db, sql);
	if (r < 0)
		return FAULT(r);
	r = bind(q, types, ap);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(q);
	return 0;
}

int
db_query(struct db_query **ret, struct db *db, const char *sql, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = start(ret, db, sql, types, ap);
	va_end(ap);
	return r;
}

int
db_next(struct db_query *q)
{
	int r = db_sqlite_step(q->stmt);

	return r < 0 ? FAULT(r) : r;
}

struct db_query *
db_query_end(struct db_query *q)
{
	if (!q)
		return NULL;
	db_sqlite_reset(q->stmt);
	q->busy = false;
	return NULL;
}

int
db_exec(struct db *db, const char *sql, const char *types, ...)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = start(&q, db, sql, types, ap);
	va_end(ap);
	if (r == 0)
		r = db_next(q);
	return r < 0 ? FAULT(r) : 0;
}

int64_t
db_changes(struct db *db)
{
	return db_sqlite_changes(db->backend);
}

int64_t
db_last_id(struct db *db)
{
	return db_sqlite_last_id(db->backend);
}

const char *
db_text(struct db_query *q, int column)
{
	const char *text = db_sqlite_text(q->stmt, column);

	return text ? text : "";
}

int64_t
db_i64(struct db_query *q, int column)
{
	return db_sqlite_i64(q->stmt, column);
}

double
db_real(struct db_query *q, int column)
{
	return db_sqlite_real(q->stmt, column);
}

const void *
db_blob(struct db_query *q, int column, size_t *ret_len)
{
	return db_sqlite_blob(q->stmt, column, ret_len);
}

bool
db_null(struct db_query *q, int column)
{
	return db_sqlite_null(q->stmt, column); /* its text would be NULL without memory, too */
}

int
db_number(struct db *db, int64_t *ret, int64_t otherwise, const char *sql, const char *types, ...)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = start(&q, db, sql, types, ap);
	va_end(ap);
	if (r == 0)
		r = db_next(q);
	if (r < 0)
		return FAULT(r);
	*ret = r == DB_ROW && !db_null(q, 0) ? db_i64(q, 0) : otherwise;
	return 0;
}

int
db_begin(struct db *db)
{
	int r;

	if (db->in_transaction)
		return FAULT(-EALREADY);
	r = db_exec(db, "BEGIN IMMEDIATE", "");
	if (r < 0)
		return FAULT(r);
	db->in_transaction = true;
	return 0;
}

int
db_commit(struct db *db)
{
	int r = db_exec(db, "COMMIT", "");

	if (r < 0) {
		db_rollback(db);
		return FAULT(r);
	}
	db->in_transaction = false;
	return 0;
}

void
db_rollback(struct db *db)
{
	if (!db->in_transaction)
		return;
	/* It fails where SQLite has rolled back by itself already, which is the same to us. */
	(void)db_exec(db, "ROLLBACK", "");
	db->in_transaction = false;
}

static int
migrate_room(struct db *db, const struct db_migration *m)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int64_t version;
	int r;

	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	r = db_number(db, &version, 0, "SELECT version FROM migrations WHERE room = ?1", "t", m->room);
	if (r < 0)
		return FAULT(r);
	if (version > (int64_t)m->n_steps)
		return REFUSE(REASON_CONFLICT, m->room, "the database has version %jd, this program knows %zu",
			(intmax_t)version, m->n_steps);
	if (version == (int64_t)m->n_steps)
		return 0;
	for (size_t i = (size_t)version; i < m->n_steps; i++) {
		r = db_sqlite_script(db->backend, m->steps[i]);
		if (r < 0)
			return FAULT(r);
	}
	r = db_exec(db,
		"INSERT INTO migrations(room, version) VALUES(?1, ?2)"
		" ON CONFLICT(room) DO UPDATE SET version = ?2",
		"ti", m->room, (int64_t)m->n_steps);
	if (r < 0)
		return FAULT(r);
	return db_commit(STEAL(tx));
}

int
db_migrate(struct db *db, const struct db_migration *migrations, size_t n)
{
	int r = db_exec(db,
		"CREATE TABLE IF NOT EXISTS migrations(room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT", "");

	for (size_t i = 0; i < n && r == 0; i++)
		r = migrate_room(db, &migrations[i]);
	return r < 0 ? FAULT(r) : r;
}
