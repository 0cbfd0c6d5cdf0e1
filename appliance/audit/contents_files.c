#include "appliance/audit/contents_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/tile.h"
#include "appliance/audit/walk.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

/* --- checking --------------------------------------------------------------------------------- */
/* t is narrower than the tile that the log has in its place: it must be its beginning. */
static int
check_partial(int dir_fd, struct tile t, unsigned width, const char *name)
{
	uint8_t part[TILE_WIDTH][MERKLE_HASH], all[TILE_WIDTH][MERKLE_HASH];
	bool entries = t.level == TILE_ENTRIES;
	struct tile whole = { t.level, t.n, width };
	int r = entries ? tile_read_entries(part, dir_fd, t) : tile_read(part, dir_fd, t);

	if (r == 0)
		r = entries ? tile_read_entries(all, dir_fd, whole) : tile_read(all, dir_fd, whole);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || memcmp(part, all, (size_t)t.width * MERKLE_HASH))
		return REFUSE(REASON_ALTERED, name,
			"is not the beginning of the tile that it became");
	return 0;
}

static int
check_reserve(int dir_fd, const char *name)
{
	static const uint8_t zeros[4096];
	SCOPED(scope_close) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t room[sizeof(zeros)];
	off_t at = 0;
	ssize_t n;

	if (fd < 0)
		return FAULT(-errno);
	while ((n = pread(fd, room, sizeof(room), at)) > 0 && !memcmp(room, zeros, (size_t)n))
		at += n;
	if (n < 0)
		return FAULT(-errno);
	if (n > 0 || at != CONTENTS_RESERVE_BYTES)
		return REFUSE(REASON_ALTERED, name, "is not the empty room that it should be");
	return 0;
}

struct checking {
	int dir_fd;
	uint64_t size;
};

static int
check_file(void *arg, const char *name, int dir_fd, const char *base, bool regular)
{
	const struct checking *c = arg;
	struct tile t;
	unsigned width;

	(void)dir_fd;
	(void)base;
	if (regular && (!strcmp(name, AUDIT_LOAD_CHECKPOINT) || !strcmp(name, AUDIT_LOAD_COSIGNED)))
		return 0;
	if (regular && !strcmp(name, CONTENTS_RESERVE))
		return check_reserve(c->dir_fd, name);
	if (regular && !strcmp(name, CONTENTS_ERASING))
		return REFUSE(REASON_INTERRUPTED, name,
			"records are being erased: start the monitor, which goes on");
	if (regular && tile_parse(&t, name)) {
		width = tile_width(t.level, t.n, c->size);
		if (width && (t.width == width || t.level == TILE_RECORDS))
			return 0;
		if (t.width < width)
			return check_partial(c->dir_fd, t, width, name);
	}
	return REFUSE(REASON_ALTERED, name,
		"does not belong to a log of %llu entries: an append that was cut off (start the "
		"monitor, which clears it up) or an addition",
		(unsigned long long)c->size);
}

/* A published size whose tile is not full yet has its own partial ones. */
static int
check_published(int dir_fd, uint64_t size, uint64_t now)
{
	const unsigned levels[] = { TILE_ENTRIES, 0, 1, 2, 3, 4, 5 };
	char name[TILE_NAME_MAX];
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		uint64_t hashes = levels[i] < TILE_LEVELS ? size >> (8 * levels[i]) : size;
		struct tile t = { levels[i], hashes / TILE_WIDTH, hashes % TILE_WIDTH };

		if (!t.width || tile_width(t.level, t.n, now) == TILE_WIDTH)
			continue;
		if (fstatat(dir_fd, tile_name(name, t), &st, AT_SYMLINK_NOFOLLOW) < 0)
			return REFUSE(REASON_ALTERED, name,
				"is gone, though a checkpoint of %llu stands",
				(unsigned long long)size);
	}
	return 0;
}

int
contents_files(int dir_fd, const struct audit_head *head, const struct audit_head *cosigned)
{
	struct checking c = { dir_fd, head->checkpoint.size };
	int r = walk_files(dir_fd, false, check_file, &c);

	if (r == 0 && cosigned->present)
		r = check_published(dir_fd, cosigned->checkpoint.size, c.size);
	return FAULT(r);
}

/* --- sweeping --------------------------------------------------------------------------------- */
struct sweeping {
	uint64_t tiles, records; /* entries */
};

static int
sweep_file(void *arg, const char *name, int dir_fd, const char *base, bool regular)
{
	const struct sweeping *s = arg;
	bool keep = strncmp(base, ".tmp.", 5) != 0;
	struct stat st;
	struct tile t;

	if (regular && !strcmp(name, CONTENTS_RESERVE))
		keep = fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_size == CONTENTS_RESERVE_BYTES;
	if (regular && tile_parse(&t, name)) {
		unsigned width =
			tile_width(t.level, t.n, t.level == TILE_RECORDS ? s->records : s->tiles);

		keep = width &&
			(t.level == TILE_RECORDS || t.width == width ||
				(t.width < width && width < TILE_WIDTH));
	}
	if (!keep && unlinkat(dir_fd, base, 0) < 0)
		return FAULT(-errno);
	return 0;
}

int
contents_sweep(int dir_fd, uint64_t tiles, uint64_t records)
{
	struct sweeping s = { tiles, records };

	return FAULT(walk_files(dir_fd, true, sweep_file, &s));
}
