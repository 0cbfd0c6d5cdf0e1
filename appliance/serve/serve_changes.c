#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/serve/serve.h"

static int
later(const void *a, const void *b)
{
	return strcmp(json_text(*(json_t *const *)b, "time"), json_text(*(json_t *const *)a, "time"));
}

int
serve_changes_newest(struct serve *s, const char *site, struct db *customer, size_t max, json_t *changes)
{
	SCOPED_JSON *all = json_array();
	json_t **sorted = NULL;
	size_t n;
	int r = all ? serve_changes(s, site, customer, all) : -ENOMEM;

	n = json_array_size(all);
	sorted = r == 0 ? calloc(n + 1, sizeof(json_t *)) : NULL;
	if (r == 0 && !sorted)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		sorted[i] = json_array_get(all, i);
	if (r == 0)
		qsort(sorted, n, sizeof(json_t *), later);
	for (size_t i = 0; r == 0 && i < n && i < max; i++)
		r = json_array_append(changes, sorted[i]);
	free(sorted);
	return FAULT(r);
}
