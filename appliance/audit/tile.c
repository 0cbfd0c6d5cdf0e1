#include "appliance/audit/tile.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { GROUP = 1000, GROUPS_MAX = 6 };

/* --- names ------------------------------------------------------------------------------------ */
static const char *
put_index(char out[TILE_NAME_MAX], struct tile t)
{
	unsigned group[GROUPS_MAX], n = 0;
	size_t len;

	if (t.level == TILE_RECORDS)
		len = (size_t)snprintf(out, TILE_NAME_MAX, "records");
	else if (t.level == TILE_ENTRIES)
		len = (size_t)snprintf(out, TILE_NAME_MAX, "tile/entries");
	else
		len = (size_t)snprintf(out, TILE_NAME_MAX, "tile/%u", t.level);
	do {
		group[n++] = (unsigned)(t.n % GROUP);
		t.n /= GROUP;
	} while (t.n && n < GROUPS_MAX);
	while (n-- > 0)
		len += (size_t)snprintf(out + len, TILE_NAME_MAX - len, "/%s%03u", n ? "x" : "",
			group[n]);
	return out;
}

const char *
tile_partials(char out[TILE_NAME_MAX], struct tile t)
{
	size_t len = strlen(put_index(out, t));

	snprintf(out + len, TILE_NAME_MAX - len, ".p");
	return out;
}

const char *
tile_name(char out[TILE_NAME_MAX], struct tile t)
{
	size_t len;

	if (t.width == TILE_WIDTH)
		return put_index(out, t);
	len = strlen(tile_partials(out, t));
	snprintf(out + len, TILE_NAME_MAX - len, "/%u", t.width);
	return out;
}

/* Every name is read by guessing what it is of and writing that anew: only the one form passes. */
bool
tile_parse(struct tile *ret, const char *name)
{
	struct tile t = { .width = TILE_WIDTH };
	char again[TILE_NAME_MAX];
	const char *at;

	if (!strncmp(name, "records/", 8)) {
		t.level = TILE_RECORDS;
		at = name + 8;
	} else if (!strncmp(name, "tile/entries/", 13)) {
		t.level = TILE_ENTRIES;
		at = name + 13;
	} else if (!strncmp(name, "tile/", 5) && name[5] >= '0' && name[5] < '0' + TILE_LEVELS &&
		name[6] == '/') {
		t.level = (unsigned)(name[5] - '0');
		at = name + 7;
	} else {
		return false;
	}
	for (; *at && *at != '.'; at++) {
		if (*at == 'x' || *at == '/')
			continue;
		if (*at < '0' || *at > '9' || t.n > UINT64_MAX / GROUP)
			return false;
		t.n = 10 * t.n + (uint64_t)(*at - '0');
	}
	if (!strncmp(at, ".p/", 3)) {
		t.width = 0;
		for (at += 3; *at >= '0' && *at <= '9' && t.width < TILE_WIDTH; at++)
			t.width = 10 * t.width + (unsigned)(*at - '0');
		if (!t.width || t.width >= TILE_WIDTH || t.level == TILE_RECORDS)
			return false;
	}
	if (strcmp(tile_name(again, t), name))
		return false;
	*ret = t;
	return true;
}

unsigned
tile_width(unsigned level, uint64_t n, uint64_t size)
{
	uint64_t hashes = level < TILE_LEVELS ? size >> (8 * level) : size;
	uint64_t before = n * TILE_WIDTH;

	if (before >= hashes)
		return 0;
	return hashes - before < TILE_WIDTH ? (unsigned)(hashes - before) : TILE_WIDTH;
}

/* --- contents --------------------------------------------------------------------------------- */
/* The bytes of the first t.width of unit each.  A partial tile that went when its full one came is
 * that one's beginning. */
static int
read_units(struct buf *b, int dir_fd, struct tile t, size_t unit)
{
	const size_t len = t.width * unit;
	char name[TILE_NAME_MAX];
	int r = fs_read(dir_fd, tile_name(name, t), TILE_WIDTH * unit, b);

	if (r == REASON_NOT_FOUND && t.width < TILE_WIDTH) {
		t.width = TILE_WIDTH;
		r = fs_read(dir_fd, tile_name(name, t), TILE_WIDTH * unit, b);
	}
	if (r == REASON_NOT_FOUND || r < 0)
		return FAULT(r);
	if (r || b->len != t.width * unit)
		return REASON_ALTERED;
	b->len = len;
	return 0;
}

int
tile_read(uint8_t (*ret)[MERKLE_HASH], int dir_fd, struct tile t)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TILE_WIDTH * MERKLE_HASH);
	int r = read_units(&b, dir_fd, t, MERKLE_HASH);

	if (r == 0)
		memcpy(ret, b.data, b.len);
	return r;
}

int
tile_read_entries(uint8_t (*ret)[MERKLE_HASH], int dir_fd, struct tile t)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TILE_WIDTH * TILE_ENTRY_BYTES);
	int r = read_units(&b, dir_fd, t, TILE_ENTRY_BYTES);

	if (r)
		return r;
	for (unsigned i = 0; i < t.width; i++) {
		const uint8_t *p = b.data + (size_t)i * TILE_ENTRY_BYTES;

		if (p[0] != 0 || p[1] != MERKLE_HASH)
			return REASON_ALTERED;
		memcpy(ret[i], p + 2, MERKLE_HASH);
	}
	return 0;
}

void
tile_put_entries(struct buf *out, const uint8_t (*entry)[MERKLE_HASH], unsigned width)
{
	for (unsigned i = 0; i < width; i++) {
		buf_u16(out, MERKLE_HASH);
		buf_put(out, entry[i], MERKLE_HASH);
	}
}
