#include "appliance/audit/against.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/audit/edge.h"
#include "appliance/audit/tile.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static int
read_leaves(uint8_t (*ret)[MERKLE_HASH], int dir_fd, uint64_t n, uint64_t size)
{
	struct tile t = { 0, n, tile_width(0, n, size) };
	char name[TILE_NAME_MAX];
	int r = tile_read(ret, dir_fd, t);

	if (r > 0)
		return REFUSE(REASON_ALTERED, tile_name(name, t),
			"is gone or not of the length that it had");
	return FAULT(r);
}

int
against_folder(uint64_t *ret_n, int dir_fd, uint64_t size, int kept_fd, uint64_t kept_size)
{
	uint8_t ours[TILE_WIDTH][MERKLE_HASH], kept[TILE_WIDTH][MERKLE_HASH];
	uint64_t common = size < kept_size ? size : kept_size;
	char operand[64];
	int r;

	for (*ret_n = 0; *ret_n < common; ++*ret_n) {
		uint64_t i = *ret_n % TILE_WIDTH, tile = *ret_n / TILE_WIDTH;

		r = i ? 0 : read_leaves(ours, dir_fd, tile, size);
		if (r == 0 && !i)
			r = read_leaves(kept, kept_fd, tile, kept_size);
		if (r)
			return r;
		if (!memcmp(ours[i], kept[i], MERKLE_HASH))
			continue;
		snprintf(operand, sizeof(operand), "audit entry %llu", (unsigned long long)*ret_n);
		return REFUSE(REASON_ALTERED, operand,
			"and those behind it are not the ones of the log that was kept");
	}
	return 0;
}

int
against_head(int dir_fd, uint64_t size, const struct note_checkpoint *head)
{
	SCOPED(scope_free) struct edge *e = calloc(1, sizeof(*e));
	uint8_t leaf[TILE_WIDTH][MERKLE_HASH], root[MERKLE_HASH];
	struct edge_tree tree = { e, NULL };
	struct merkle_source s;
	int r = e ? 0 : -ENOMEM;

	if (head->size > size)
		return REFUSE(REASON_ROLLBACK, "audit log",
			"has %llu entries, the head that was kept %llu", (unsigned long long)size,
			(unsigned long long)head->size);
	while (r == 0 && e->size < head->size) {
		uint64_t i = e->size % TILE_WIDTH;

		r = i ? 0 : read_leaves(leaf, dir_fd, e->size / TILE_WIDTH, size);
		r = r ?: edge_add(e, leaf[i], NULL, NULL);
	}
	if (r)
		return FAULT(r);
	s = edge_source(&tree);
	r = merkle_root(&s, s.size, root);
	if (r == 0 && memcmp(root, head->root, sizeof(root)))
		return REFUSE(REASON_ALTERED, "audit log",
			"is not the one whose head was kept: they part before entry %llu",
			(unsigned long long)head->size);
	return FAULT(r);
}
