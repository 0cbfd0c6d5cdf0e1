#include "appliance/audit/edge.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

/* --- adding ----------------------------------------------------------------------------------- */
int
edge_add(struct edge *e, const uint8_t leaf[MERKLE_HASH], edge_full_fn *full, void *arg)
{
	uint8_t hash[MERKLE_HASH];
	int r;

	memcpy(hash, leaf, sizeof(hash));
	for (unsigned l = 0; l < TILE_LEVELS; l++) {
		uint8_t(*tile)[MERKLE_HASH] = e->hash[l];
		uint64_t at = e->size >> (8 * l);
		struct tile t = { l, at / TILE_WIDTH, TILE_WIDTH };

		memcpy(tile[at % TILE_WIDTH], hash, sizeof(hash));
		if (at % TILE_WIDTH != TILE_WIDTH - 1)
			break;
		r = full ? full(arg, t, (const uint8_t(*)[MERKLE_HASH])tile) : 0;
		if (r)
			return r;
		merkle_pack(hash, (const uint8_t(*)[MERKLE_HASH])tile, TILE_WIDTH);
	}
	e->size++;
	return 0;
}

int
edge_add_entry(struct edge *e, const uint8_t entry[MERKLE_HASH], edge_full_fn *full, void *arg)
{
	uint8_t leaf[MERKLE_HASH];
	uint64_t at = e->size % TILE_WIDTH;
	int r = 0;

	memcpy(e->entry[at], entry, MERKLE_HASH);
	if (full && at == TILE_WIDTH - 1)
		r = full(arg, (struct tile){ TILE_ENTRIES, e->size / TILE_WIDTH, TILE_WIDTH },
			(const uint8_t(*)[MERKLE_HASH])e->entry);
	merkle_leaf(leaf, entry, MERKLE_HASH);
	return r ?: edge_add(e, leaf, full, arg);
}

/* --- reading ---------------------------------------------------------------------------------- */
static int
read_cached(struct edge_cache *c, struct tile t, const uint8_t (**ret)[MERKLE_HASH])
{
	size_t oldest = 0;
	char name[TILE_NAME_MAX];
	int r;

	c->used++;
	for (size_t i = 0; i < EDGE_CACHE; i++) {
		if (c->slot[i].used && c->slot[i].tile.level == t.level &&
			c->slot[i].tile.n == t.n) {
			c->slot[i].used = c->used;
			*ret = (const uint8_t(*)[MERKLE_HASH])c->slot[i].hash;
			return 0;
		}
		if (c->slot[i].used < c->slot[oldest].used)
			oldest = i;
	}
	c->slot[oldest].used = 0;
	r = tile_read(c->slot[oldest].hash, c->dir_fd, t);
	if (r > 0)
		return REFUSE(REASON_ALTERED, tile_name(name, t),
			"is not there as it was written (%s)", refuse_token(r));
	if (r < 0)
		return FAULT(r);
	c->slot[oldest].used = c->used;
	c->slot[oldest].tile = t;
	*ret = (const uint8_t(*)[MERKLE_HASH])c->slot[oldest].hash;
	return 0;
}

static int
node(void *arg, unsigned level, uint64_t index, uint8_t out[MERKLE_HASH])
{
	const struct edge_tree *tree = arg;
	unsigned l = level / 8, within = level % 8;
	uint64_t first = index << within; /* among the hashes of tile level l */
	struct tile t = { l, first / TILE_WIDTH, TILE_WIDTH };
	const uint8_t(*hash)[MERKLE_HASH] = NULL;
	int r;

	if (l >= TILE_LEVELS)
		return FAULT(-EOVERFLOW);
	if (t.n == tree->edge->size >> (8 * (l + 1))) {
		hash = (const uint8_t(*)[MERKLE_HASH])tree->edge->hash[l];
	} else {
		if (!tree->cache)
			return FAULT(-EINVAL);
		r = read_cached(tree->cache, t, &hash);
		if (r)
			return r;
	}
	merkle_pack(out, hash + first % TILE_WIDTH, (size_t)1 << within);
	return 0;
}

struct merkle_source
edge_source(struct edge_tree *t)
{
	return (struct merkle_source){ node, t, t->edge->size };
}
