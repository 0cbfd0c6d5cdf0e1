/* The files of the log's folder and what they are called (c2sp.org/tlog-tiles v0.1.0).
 *
 *	tile/L/N[.p/W]        up to 256 hashes of level L, 32 bytes each
 *	tile/entries/N[.p/W]  up to 256 entries, each a big-endian uint16 length (32) and the bytes
 *	records/N             the records of those entries (bundle.h)
 *
 * N is written in groups of three digits, all but the last with an x before them: 1234067 is
 * x001/x234/067.  W is the width of a tile that is not full. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/audit/merkle.h"

struct buf;

enum {
	TILE_WIDTH = 256,
	TILE_LEVELS = 6,   /* 2^48 leaves */
	TILE_ENTRIES = 64, /* in a level's place: the entries */
	TILE_RECORDS = 65, /* in a level's place: the records, which are never partial */
	TILE_ENTRY_BYTES = 2 + MERKLE_HASH,
	TILE_NAME_MAX = 64,
};

/* One file: width TILE_WIDTH is a full one. */
struct tile {
	unsigned level; /* or TILE_ENTRIES, TILE_RECORDS */
	uint64_t n;
	unsigned width; /* 1..256 */
};

/* Its name below the log's folder.  Returns out. */
const char *tile_name(char out[TILE_NAME_MAX], struct tile t);
/* The folder of its partial tiles ("tile/0/000.p").  Returns out. */
const char *tile_partials(char out[TILE_NAME_MAX], struct tile t);
/* The file that this name is of; false where it is none that a log can have. */
bool tile_parse(struct tile *ret, const char *name);

/* The width that tile n of a level has in a tree of that size; 0 where it has none.  Of entries and
 * records as of level 0. */
unsigned tile_width(unsigned level, uint64_t n, uint64_t size);

/* Read the t.width hashes of a tile; where a partial one is gone, as the full one's beginning.  Returns 0, REASON_NOT_FOUND or REASON_ALTERED
 * where it is no file of that length (both unlogged), or a fault. */
int tile_read(uint8_t (*ret)[MERKLE_HASH], int dir_fd, struct tile t);
/* The same for entries. */
int tile_read_entries(uint8_t (*ret)[MERKLE_HASH], int dir_fd, struct tile t);
/* Append the file's bytes for these entries. */
void tile_put_entries(struct buf *out, const uint8_t (*entry)[MERKLE_HASH], unsigned width);
