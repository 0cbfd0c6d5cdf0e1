/* SQLite behind db.c: opening with our settings, and its error codes as -errno.  For db.c alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

int db_sqlite_open(struct sqlite3 **ret, const char *path);
void db_sqlite_close(struct sqlite3 *db);
/* Several statements, no results. */
int db_sqlite_script(struct sqlite3 *db, const char *sql);
int db_sqlite_prepare(struct sqlite3_stmt **ret, struct sqlite3 *db, const char *sql);
void db_sqlite_finalize(struct sqlite3_stmt *s);
int64_t db_sqlite_changes(struct sqlite3 *db);
int64_t db_sqlite_last_id(struct sqlite3 *db);

/* Parameters count from 1; texts and bytes are copied. */
int db_sqlite_bind_text(struct sqlite3_stmt *s, int n, const char *text);
int db_sqlite_bind_i64(struct sqlite3_stmt *s, int n, int64_t v);
int db_sqlite_bind_real(struct sqlite3_stmt *s, int n, double v);
int db_sqlite_bind_blob(struct sqlite3_stmt *s, int n, const void *p, size_t len);

int db_sqlite_step(struct sqlite3_stmt *s); /* 1: a row, 0: the end, or a fault */
void db_sqlite_reset(struct sqlite3_stmt *s);

bool db_sqlite_null(struct sqlite3_stmt *s, int column);
const char *db_sqlite_text(struct sqlite3_stmt *s, int column); /* NULL for null */
int64_t db_sqlite_i64(struct sqlite3_stmt *s, int column);
double db_sqlite_real(struct sqlite3_stmt *s, int column);
const void *db_sqlite_blob(struct sqlite3_stmt *s, int column, size_t *ret_len);
