/* In which order services change: each after those that it requires. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* One service; requires is an array of names, or NULL. */
struct order_item {
	const char *name;
	const json_t *requires;
};

enum { ORDER_RING_MAX = 256 };

/* out: the n items' indexes, each behind those of its requirements that are among the items; else as they stood.  Returns
 * how many of them these are: the rest, behind them, require each other in a circle, or something that does; ring (may be
 * NULL) then names one circle, "a requires b requires a", and else is "". */
size_t order_sort(const struct order_item *items, size_t n, size_t *out, char ring[ORDER_RING_MAX]);
