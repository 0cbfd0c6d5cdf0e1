#include "updater/activate/order.h"

#include <stdbool.h>
#include <string.h>

#include "appliance/base/refuse.h"

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

int
order_sort(const struct order_item *items, size_t n, size_t *out)
{
	for (size_t done = 0; done < n; done++) {
		size_t at = 0;

		while (at < n && (placed(items, items[at].name, out, done) || !ready(items, n, at, out, done)))
			at++;
		if (at == n) {
			for (at = 0; placed(items, items[at].name, out, done);)
				at++;
			return REFUSE(REASON_CONFLICT, items[at].name, "it requires itself in the end: nothing can go first");
		}
		out[done] = at;
	}
	return 0;
}
