#include "tests/fakes/tree_folder.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"

static int
by_path(const void *a, const void *b)
{
	const struct tree_entry *one = a, *other = b;

	return strcmp(one->path, other->path);
}

static bool
same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	if (a->type != b->type || a->mode != b->mode)
		return false;
	if (a->type == TREE_TYPE_LINK)
		return !strcmp(a->target, b->target);
	return a->type == TREE_TYPE_DIR ||
		(a->size == b->size && !memcmp(a->sha256, b->sha256, sizeof(a->sha256)));
}

int
tree_folder_is(const struct tree_index *x, int dir_fd)
{
	SCOPED(tree_index_freep) struct tree_index *is = NULL;
	int r;

	r = tree_index_new(&is, x->service, x->version, x->definition);
	r = r ?: tree_walk(is, dir_fd, NULL, NULL);
	if (r)
		return r;
	if (is->n_entries > 0)
		qsort(is->entries, is->n_entries, sizeof(*is->entries), by_path); /* unsealed: whatever it is */
	for (size_t i = 0; i < x->n_entries || i < is->n_entries; i++) {
		const struct tree_entry *a = i < x->n_entries ? &x->entries[i] : NULL,
					*b = i < is->n_entries ? &is->entries[i] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->path, b->path);

		if (order < 0)
			return REFUSE(REASON_ALTERED, a->path, "is missing");
		if (order > 0)
			return REFUSE(REASON_ALTERED, b->path, "is not part of the release");
		if (!same_entry(a, b))
			return REFUSE(REASON_ALTERED, a->path, "differs from the release");
	}
	return 0;
}
