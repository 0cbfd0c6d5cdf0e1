#include "updater/activate/order.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool
placed(const struct order_item *items, const char *name, const size_t *out, size_t done)
{
	for (size_t i = 0; i < done; i++)
		if (strcmp(items[out[i]].name, name) == 0)
			return true;
	return false;
}

/* All that it requires and that is among the items stands in out already. */
static bool
ready(const struct order_item *items, size_t n, size_t at, const size_t *out, size_t done)
{
	const json_t *one;
	size_t i;

	json_array_foreach (items[at].requires, i, one)
		for (size_t k = 0; k < n; k++)
			if (strcmp(items[k].name, json_string_value(one)) == 0 &&
				!placed(items, items[k].name, out, done))
				return false;
	return true;
}

/* The first of its requirements that is not placed; each that is left has one. */
static size_t
left_behind(const struct order_item *items, size_t n, size_t at, const size_t *out, size_t done)
{
	const json_t *one;
	size_t i;

	json_array_foreach (items[at].requires, i, one)
		for (size_t k = 0; k < n; k++)
			if (strcmp(items[k].name, json_string_value(one)) == 0 && !placed(items, items[k].name, out, done))
				return k;
	return at;
}

/* From any that is left the way along what it requires ends in a circle. */
static void
tell_ring(const struct order_item *items, size_t n, const size_t *out, size_t done, char ring[ORDER_RING_MAX])
{
	size_t at = out[done], from, len;

	for (size_t i = 0; i < n; i++)
		at = left_behind(items, n, at, out, done);
	/* The first of it, as they stood. */
	from = at;
	for (size_t k = left_behind(items, n, at, out, done); k != at; k = left_behind(items, n, k, out, done))
		from = k < from ? k : from;
	at = from;
	len = (size_t)snprintf(ring, ORDER_RING_MAX, "%s", items[from].name);
	do {
		at = left_behind(items, n, at, out, done);
		if (len < ORDER_RING_MAX)
			len += (size_t)snprintf(ring + len, ORDER_RING_MAX - len, " requires %s", items[at].name);
	} while (at != from);
}

size_t
order_sort(const struct order_item *items, size_t n, size_t *out, char ring[ORDER_RING_MAX])
{
	size_t done = 0, rest;

	if (ring)
		ring[0] = '\0';
	for (size_t at = 0; done < n && at < n; done += at < n) {
		at = 0;
		while (at < n && (placed(items, items[at].name, out, done) || !ready(items, n, at, out, done)))
			at++;
		if (at < n)
			out[done] = at;
	}
	rest = done;
	for (size_t at = 0; at < n; at++)
		if (!placed(items, items[at].name, out, done))
			out[rest++] = at;
	if (done < n && ring)
		tell_ring(items, n, out, done, ring);
	return done;
}
