/* Points of one series in the order of time. */
#pragma once

#include <stddef.h>

#include "telemetry/store/block.h"

/* Sort by time; of several at one time the last that came stands.  Returns how many are left, or -ENOMEM. */
ptrdiff_t points_order(struct block_point *points, size_t n);
