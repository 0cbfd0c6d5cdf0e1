/* Open points: what was committed with its batch and has no block yet, in memory, by customer, site and series; and which
 * series a point belongs to, found without asking the database.
 *
 * All of it can be thrown away at any time and is read again from `point_batches`: after a fault, that is what happens. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/store/block.h"

struct db;
struct head;

enum {
	HEAD_KEYS_MAX = 200000, /* names under which series are remembered, of one customer; further ones are looked up */
	HEAD_TAIL = 4,
	HEAD_NONE = -1,
};

struct head_series {
	int64_t id;
	uint32_t site;		    /* index of its site */
	uint32_t n, cap;
	struct block_point *points; /* n, in the order in which they came; owned.  But for the last ones: */
	uint32_t n_tail;
	struct block_point tail[HEAD_TAIL]; /* beside each other of all series, where a batch finds them fast */
	int64_t newest_ms;	    /* of these; meaningful while n > 0 */
	double newest;
};

struct head_site {
	char site[65];
	uint64_t points;    /* open ones */
	uint64_t oldest_us; /* when the oldest of them was taken; meaningful while points > 0 */
	int64_t n_series[2]; /* known in the database: its own, other senders'; -1: not counted yet */
};

/* The head of a customer, read from its file at first use.  Returns 0; or a fault (-EUCLEAN: a row is damaged). */
int head_open(struct head **ret, const char *customer, struct db *db);
/* Throw one, or all, away. */
void head_forget(const char *customer);
void head_forget_all(void);

/* A site of it, made at first use.  Returns 0 or a fault.  Pointers into the head hold until the next call that makes
 * something. */
int head_site(struct head *h, const char *site, uint32_t *ret);
struct head_site *head_site_at(struct head *h, uint32_t site);
size_t head_sites(const struct head *h);

/* What is remembered under a name (any bytes): a series, by the name its points give it; HEAD_NONE where that is nothing. */
int64_t head_find(struct head *h, const void *key, size_t len);
/* Remember it. */
int head_remember(struct head *h, const void *key, size_t len, uint32_t series);
/* Remember a name under a number of its own, that no other has.  Returns 0 with *ret, HEAD_NONE where no more are remembered. */
int head_remember_family(struct head *h, const void *key, size_t len, int64_t *ret);
/* A series by its row, made at first use. */
int head_series(struct head *h, int64_t id, uint32_t site, uint32_t *ret);
/* The same, its tail empty; NULL where nothing is open of it. */
const struct head_series *head_peek(struct head *h, int64_t id);
struct head_series *head_series_at(struct head *h, uint32_t series);
int64_t head_series_id(const struct head *h, uint32_t series);
size_t head_n_series(const struct head *h);

/* A point that was committed, taken at taken_us. */
int head_put(struct head *h, uint32_t series, int64_t time_ms, double value, uint64_t taken_us);
/* Its site's points have blocks now. */
void head_clear(struct head *h, uint32_t site);

/* Open points of all customers. */
uint64_t head_points(void);
