/* What the hub has of one series in a span of time: open points, blocks and, where those are gone, what was rolled up. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct db;
struct head;

/* One point, or five minutes of them. */
struct metric_sample {
	int64_t time_ms;
	double last; /* not a number: from here on there is none */
	double min, max, sum;
	double count; /* of points with a value */
};

struct metric_samples {
	struct metric_sample *items; /* ascending in time, none at the same; owned */
	size_t n, cap;
};
void metric_load_done(struct metric_samples *s);

/* Read those with from_ms <= time < to_ms over what s held; points older than raw_ms only rolled up.  At most max are read in all.
 * Returns 0; REASON_TOO_LARGE (unlogged) where there are more; or a fault. */
int metric_load(struct metric_samples *s, struct head *h, struct db *db, int64_t series, int64_t from_ms, int64_t to_ms,
	int64_t raw_ms, size_t max);
