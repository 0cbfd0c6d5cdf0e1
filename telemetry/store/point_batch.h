/* The points of one batch as they wait for their blocks: row of table `point_batches`, written in the transaction that commits
 * the batch.  For each point: varint of how far its series is from the one before, varint of how far its time is and whether the
 * value is whole, and the value.  The hub's own bytes; read back with the same care as a stranger's, since a disk may lie. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

struct point_batch_item {
	int64_t series;
	int64_t time_ms;
	double value;
};

/* Append n points.  Errors stick in out. */
void point_batch_encode(struct buf *out, const struct point_batch_item *items, size_t n);

/* Give each point to take(), in their order; stops at r != 0 and returns it.  Returns 0, or REASON_MALFORMED (unlogged): take() may have
 * run before. */
int point_batch_decode(const void *p, size_t len, int (*take)(const struct point_batch_item *item, void *arg), void *arg);
