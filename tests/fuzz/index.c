/* tree_index_read(): what it takes is written again byte for byte, and holds no unsafe path; each of its paths and
 * links leads to something of the tree that is no link. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/tree/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
resolve(const struct tree_index *x, const struct tree_entry *e)
{
	const struct tree_entry *to = tree_index_resolve(x, e->path);
	char below[TREE_PATH_MAX + 16];

	if (!to || to->type == TREE_TYPE_LINK || (e->type != TREE_TYPE_LINK && to != e))
		abort();
	(void)snprintf(below, sizeof(below), "%s/ not there", e->path);
	if (tree_index_resolve(x, below))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(TREE_INDEX_BYTES_MAX);

	log_quiet_refusals(true);
	if (tree_index_read(&x, data, size) != 0)
		return 0;
	if (tree_index_write(x, &b) != 0 || b.len != size || memcmp(b.data, data, size) != 0)
		abort();
	for (size_t i = 0; i < x->n_entries; i++) {
		const struct tree_entry *e = &x->entries[i];

		if (e->path[0] == '/' || !e->path[0] || strstr(e->path, "//") ||
			(e->target && e->target[0] == '/') || e->mode > 0777)
			abort();
		resolve(x, e);
	}
	return 0;
}
