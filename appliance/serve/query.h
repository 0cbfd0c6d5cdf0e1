/* The query of a request target: strict NAME=VALUE pairs joined by '&'.
 *
 * Refused: an empty or repeated name, bad percent-encoding, decoded control characters, more than
 * QUERY_PARAMS_MAX pairs, anything over its size. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	QUERY_PARAMS_MAX = 16,
	QUERY_NAME_MAX = 32,
	QUERY_VALUE_MAX = 256,
};

struct query {
	size_t n;
	struct {
		char name[QUERY_NAME_MAX];
		char value[QUERY_VALUE_MAX];
	} params[QUERY_PARAMS_MAX];
};

/* Parse text (without '?'; "" has no pairs).  Returns 0 or REASON_MALFORMED (logged). */
int query_parse(struct query *ret, const char *text);

/* The value, or NULL where the name was not given. */
const char *query_get(const struct query *q, const char *name);

/* A whole number 0..max; otherwise where the name was not given.  Returns 0 or REASON_MALFORMED
 * (logged, naming the parameter). */
int query_u64(const struct query *q, const char *name, uint64_t otherwise, uint64_t max, uint64_t *ret);

/* Refuse names outside known[] (ends with NULL).  Returns 0 or REASON_MALFORMED (logged). */
int query_only(const struct query *q, const char *const *known);
