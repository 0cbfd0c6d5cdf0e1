/* Which series a point belongs to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "telemetry/otlp/otlp.h"

struct db;
struct head;

enum { SERIES_NAME_MAX = 256, SERIES_UNIT_MAX = 64 };

/* One number of a point: which, and what is added to its attributes. */
struct series_part {
	const char *suffix;	/* "_count"; "" */
	const char *label;	/* "le", "quantile"; NULL: none */
	double bound;		/* its value */
};

/* Whose points, and where their series are kept. */
struct series_place {
	struct head *head;
	struct db *db;	  /* in the caller's transaction */
	uint32_t site;	  /* of the head */
	const char *via;
	/* Of the request's metric that was met last: what its series have in common, as the head remembers it. */
	uint64_t metric;
	int64_t family;
};

/* The series of a part of a point, made at first use.  Returns 0 with *ret (of the head); REASON_MALFORMED where its
 * name, unit or service is none, REASON_TOO_LARGE where its attributes take too much room or the site has too many (both logged); or a
 * fault. */
int series_find(uint32_t *ret, struct series_place *place, const struct otlp_point *point, const struct series_part *part);

/* The series of a number whose attributes are a run (otlp.h) that was met before, found by these bytes alone; HEAD_NONE else. */
int64_t series_known(struct series_place *place, const struct otlp_point *point);
