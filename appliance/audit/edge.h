/* The right edge of the tree: the tiles that are not full yet, which is all that appending needs.
 * What lies to their left is on the disk. */
#pragma once

#include "appliance/audit/merkle.h"
#include "appliance/audit/tile.h"

/* 56 KiB; may be copied, to have a tree to go back to. */
struct edge {
	uint64_t size;
	uint8_t entry[TILE_WIDTH][MERKLE_HASH];		    /* size % 256 of them */
	uint8_t hash[TILE_LEVELS][TILE_WIDTH][MERKLE_HASH]; /* of level l (size >> 8 l) % 256 */
};

/* Called for each tile that becomes full, before its place is used again. */
typedef int edge_full_fn(void *arg, struct tile t, const uint8_t (*hash)[MERKLE_HASH]);

/* Add the next leaf by its hash.  full may be NULL.  Returns 0 or what full returned. */
int edge_add(struct edge *e, const uint8_t leaf[MERKLE_HASH], edge_full_fn *full, void *arg);
/* The same for an entry, which is kept too; for a full tile of entries full is called first. */
int edge_add_entry(struct edge *e, const uint8_t entry[MERKLE_HASH], edge_full_fn *full, void *arg);

/* A few tiles of the disk, for reading left of the edge. */
enum { EDGE_CACHE = 16 };
struct edge_cache {
	int dir_fd;
	uint64_t used;
	struct {
		uint64_t used; /* 0: empty */
		struct tile tile;
		uint8_t hash[TILE_WIDTH][MERKLE_HASH];
	} slot[EDGE_CACHE];
};

struct edge_tree {
	const struct edge *edge;  /* borrowed */
	struct edge_cache *cache; /* borrowed; NULL where nothing left of the edge is asked for */
};
/* The whole tree.  Its node() returns 0; REASON_ALTERED (logged, naming the file) where a tile is
 * gone or of another length; or a fault.  t must outlive what is returned. */
struct merkle_source edge_source(struct edge_tree *t);
