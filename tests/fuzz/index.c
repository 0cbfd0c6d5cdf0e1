/* tree_index_read(): what it takes is written again byte for byte, and holds no unsafe path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/tree/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	}
	return 0;
}
