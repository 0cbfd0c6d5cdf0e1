#include "appliance/serve/db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

/* Born 0600, where SQLite would create it by the umask, and 0600 again where a copy made it wider; -wal and -shm follow
 * its mode.  A link, of either kind, could be to another customer's file: it is not followed. */
static int
check_file(const char *path)
{
	SCOPED(scope_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return FAULT(-EMLINK);
	if ((st.st_mode & 077) != 0 && fchmod(fd, 0600) < 0)
		return FAULT(-errno);
	return 0;
}

/* A reply that says "committed" must survive the power, so synchronous is FULL everywhere. */
static const char settings[] = "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			       "PRAGMA cache_size=-8192; PRAGMA wal_autocheckpoint=4000;"
			       "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;";

enum { BUSY_MS = 5000 };

/* Translate, and keep SQLite's own words for those who debug. */
static int
fault_of(struct sqlite3 *db, int code, const char *doing)
{
	log_debug("sqlite: %s: %s", doing, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_IOERR:
		return -EIO;
	case SQLITE_TOOBIG:
		return -EMSGSIZE;
	default:
		return -EINVAL;
	}
}

int
db_sqlite_open(struct sqlite3 **ret, const char *path)
{
	struct sqlite3 *db = NULL;
	int code, r;

	r = strcmp(path, ":memory:") == 0 ? 0 : check_file(path);
	if (r < 0)
		return FAULT(r);
	code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code != SQLITE_OK) {
		r = fault_of(db, code, "open");
		sqlite3_close(db);
		return FAULT(r);
	}
	(void)sqlite3_busy_timeout(db, BUSY_MS);
	(void)sqlite3_extended_result_codes(db, 1);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	r = db_sqlite_script(db, settings);
	if (r < 0) {
		sqlite3_close(db);
		return FAULT(r);
	}
	*ret = db;
	return 0;
}

void
db_sqlite_close(struct sqlite3 *db)
{
	(void)sqlite3_close(db);
}

int
db_sqlite_script(struct sqlite3 *db, const char *sql)
{
	int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : FAULT(fault_of(db, code, sql));
}

int
db_sqlite_prepare(struct sqlite3_stmt **ret, struct sqlite3 *db, const char *sql)
{
	int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return code == SQLITE_OK ? 0 : FAULT(fault_of(db, code, sql));
}

void
db_sqlite_finalize(struct sqlite3_stmt *s)
{
	(void)sqlite3_finalize(s);
}

int64_t
db_sqlite_changes(struct sqlite3 *db)
{
	return sqlite3_changes(db);
}

int64_t
db_sqlite_last_id(struct sqlite3 *db)
{
	return sqlite3_last_insert_rowid(db);
}

static int
bound(struct sqlite3_stmt *s, int code)
{
	return code == SQLITE_OK ? 0 : FAULT(fault_of(sqlite3_db_handle(s), code, sqlite3_sql(s)));
}

int
db_sqlite_bind_text(struct sqlite3_stmt *s, int n, const char *text)
{
	if (!text)
		return bound(s, sqlite3_bind_null(s, n));
	return bound(s, sqlite3_bind_text64(s, n, text, strlen(text), SQLITE_TRANSIENT, SQLITE_UTF8));
}

int
db_sqlite_bind_i64(struct sqlite3_stmt *s, int n, int64_t v)
{
	return bound(s, sqlite3_bind_int64(s, n, v));
}

int
db_sqlite_bind_real(struct sqlite3_stmt *s, int n, double v)
{
	return bound(s, sqlite3_bind_double(s, n, v));
}

int
db_sqlite_bind_blob(struct sqlite3_stmt *s, int n, const void *p, size_t len)
{
	if (!p)
		return bound(s, sqlite3_bind_null(s, n));
	return bound(s, sqlite3_bind_blob64(s, n, p, len, SQLITE_TRANSIENT));
}

int
db_sqlite_step(struct sqlite3_stmt *s)
{
	int code = sqlite3_step(s);

	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : FAULT(fault_of(sqlite3_db_handle(s), code, sqlite3_sql(s)));
}

void
db_sqlite_reset(struct sqlite3_stmt *s)
{
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
}

const char *
db_sqlite_text(struct sqlite3_stmt *s, int column)
{
	return (const char *)sqlite3_column_text(s, column);
}

bool
db_sqlite_null(struct sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL;
}

int64_t
db_sqlite_i64(struct sqlite3_stmt *s, int column)
{
	return sqlite3_column_int64(s, column);
}

double
db_sqlite_real(struct sqlite3_stmt *s, int column)
{
	return sqlite3_column_double(s, column);
}

const void *
db_sqlite_blob(struct sqlite3_stmt *s, int column, size_t *ret_len)
{
	const void *p = sqlite3_column_blob(s, column);

	*ret_len = p ? (size_t)sqlite3_column_bytes(s, column) : 0;
	return p;
}
