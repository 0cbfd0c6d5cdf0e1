/* Blocks are built from what is open, and what is old is rolled up and swept. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct db;
struct head;

enum {
	BUILD_AFTER_S = 3540,	     /* open points wait so long: 240 of them at 15 s */
	BUILD_SITE_POINTS = 1200000, /* or until a site has so many: full blocks of 5,000 series */
	BUILD_HEAD_POINTS = 2000000, /* or all customers together */
	BUILD_ROLL_S = 300,	     /* of one rolled-up point */
	BUILD_CHUNK_S = 240 * 300,   /* of one row of them */
	BUILD_LATE_S = 2 * 3600,     /* a chunk is rolled up once it is over for so long */
	BUILD_KEEP_S = 400 * 24 * 3600, /* of what is rolled up */
};

/* It is time for this site. */
bool build_is_due(struct head *h, uint32_t site, uint64_t now_us);

/* Build blocks of all that is open of a site, drop the rows it came from and note each series' newest value, in one
 * transaction; then it is open no more.  Returns 0 or a fault: everything is as it was. */
int build_site(struct head *h, uint32_t site, struct db *db);

/* Roll up series whose last chunks are over, at most max of them, in one transaction.  Returns how many, or a fault. */
int build_roll(struct db *db, uint64_t now_us, unsigned max);

/* Drop points that are older than STORE_KEEP_S, rolled-up ones and series (but those of which h has open points) older than
 * BUILD_KEEP_S.  Returns 0 with *ret_gone (series were dropped: h knows names that are none, and is to be forgotten), or a fault. */
int build_sweep(struct head *h, struct db *db, uint64_t now_us, bool *ret_gone);

/* What one rolled-up point says of its BUILD_ROLL_S. */
struct build_rolled {
	int64_t time_ms; /* where it begins */
	double last, min, max, sum, count;
};
/* Read a row of `rollups`; out has room for BLOCK_POINTS.  Returns 0 with *ret_n, or REASON_MALFORMED (unlogged). */
int build_unroll(struct build_rolled *out, size_t *ret_n, const void *p, size_t len);
