#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/serve/serve.h"

static int
later(const void *a, const void *b)
{
	return strcmp(json_text(*(json_t *const *)b, "time"), json_text(*(json_t *const *)a, "time"));
}

/* Mark those that are shown, at most max.  No room of the hub's takes more than half as long as another has something to
 * tell: operations come by the dozen, and what they are looked at for is the release that came before. */
static void
pick(json_t *const *sorted, size_t n, size_t max, bool *shown)
{
	size_t left = max;

	for (size_t i = 0; i < n && left > 0; i++) {
		size_t same = 0;

		for (size_t k = 0; k < i; k++)
			same += shown[k] && strcmp(json_text(sorted[k], "of"), json_text(sorted[i], "of")) == 0;
		shown[i] = same < (max + 1) / 2;
		left -= shown[i];
	}
	for (size_t i = 0; i < n && left > 0; i++) {
		left -= !shown[i];
		shown[i] = true;
	}
}

int
serve_changes_newest(struct serve *s, const char *site, struct db *customer, size_t max, json_t *changes)
{
	SCOPED_JSON *all = json_array();
	SCOPED(scope_free) bool *shown = NULL;
	json_t **sorted = NULL;
	size_t n;
	int r = all ? serve_changes(s, site, customer, all) : -ENOMEM;

	n = json_array_size(all);
	sorted = r == 0 ? calloc(n + 1, sizeof(json_t *)) : NULL;
	shown = calloc(n + 1, sizeof(*shown));
	if (r == 0 && (!sorted || !shown))
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		sorted[i] = json_array_get(all, i);
	if (r == 0)
		qsort(sorted, n, sizeof(json_t *), later);
	if (r == 0)
		pick(sorted, n, max, shown);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = shown[i] ? json_array_append(changes, sorted[i]) : 0;
	free(sorted);
	return FAULT(r);
}
