/* In which order services change: each after those that it requires. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* One service; requires is an array of names, or NULL. */
struct order_item {
	const char *name;
	const json_t *requires;
};

/* out: the n items' indexes, each behind those of its requirements that are among the items; else as they stood.
 * Returns 0, or REASON_CONFLICT (logged, naming one of them) where they require each other in a circle. */
int order_sort(const struct order_item *items, size_t n, size_t *out);
