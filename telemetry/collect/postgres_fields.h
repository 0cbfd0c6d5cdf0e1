/* The numbers that a PostgreSQL can be asked for, as one query, and reading its row.  Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum { POSTGRES_FIELDS_MAX = 48, POSTGRES_NUMBER_MAX = 24 };

struct postgres_field {
	const char *name, *metric, *unit;
	const char *sql;
	bool counter;
	bool dear; /* it reads many files: not with each probe */
};

/* NULL where there is none of this name. */
const struct postgres_field *postgres_fields_find(const char *name);

/* Append the query: when the statistics began in microseconds, then the n fields, NULL for those that skip dear
 * ones leave out.  One row. */
void postgres_fields_query(
	struct buf *out, const struct postgres_field *const *fields, size_t n, bool dear);

/* A decimal number, all of it: "12", "-1", "3.25".  false where it is anything else. */
bool postgres_fields_number(const uint8_t *p, size_t len, bool *ret_is_int, int64_t *ret_whole, double *ret_real);
