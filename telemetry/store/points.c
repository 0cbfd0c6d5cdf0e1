#include "telemetry/store/points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

/* Runs of `width` become runs of twice that; equal times stay in their order. */
static void
merge_runs(struct block_point *to, const struct block_point *from, size_t n, size_t width)
{
	for (size_t at = 0; at < n; at += 2 * width) {
		size_t a = at, a_end = at + width < n ? at + width : n, b = a_end, out = at;
		size_t b_end = at + 2 * width < n ? at + 2 * width : n;

		while (a < a_end || b < b_end)
			to[out++] = b == b_end || (a < a_end && from[a].time_ms <= from[b].time_ms) ? from[a++] : from[b++];
	}
}

static size_t
last_of_each_time(struct block_point *p, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && p[kept - 1].time_ms == p[i].time_ms)
			kept--;
		p[kept++] = p[i];
	}
	return kept;
}

ptrdiff_t
points_order(struct block_point *points, size_t n)
{
	SCOPED(scope_free) struct block_point *other = NULL;
	struct block_point *from = points, *to;
	size_t i = 1;

	while (i < n && points[i - 1].time_ms < points[i].time_ms)
		i++;
	if (i >= n)
		return (ptrdiff_t)n;
	other = to = malloc(n * sizeof(*other));
	if (!other)
		return FAULT(-ENOMEM);
	for (size_t width = 1; width < n; width *= 2) {
		struct block_point *was = from;

		merge_runs(to, from, n, width);
		from = to;
		to = was;
	}
	if (from != points)
		memcpy(points, from, n * sizeof(*points));
	return (ptrdiff_t)last_of_each_time(points, n);
}
