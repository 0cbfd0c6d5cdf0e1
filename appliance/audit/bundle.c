#include "appliance/audit/bundle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/tile.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/record/segment.h"

static uint32_t
checksum(const uint8_t len_field[4], const void *record, size_t len)
{
	return segment_crc32c(segment_crc32c(0, len_field, 4), record, len);
}

void
bundle_put(struct buf *out, const void *record, size_t len)
{
	size_t at = out->len;

	buf_u32(out, (uint32_t)len);
	if (buf_error(out))
		return;
	buf_u32(out, checksum(out->data + at, record, len));
	buf_put(out, record, len);
}

struct bundle
bundle_of(const struct buf *file)
{
	return (struct bundle){ file->data, file->data + file->len, 0 };
}

static uint32_t
u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool
bundle_next(struct bundle *b, const uint8_t **ret, size_t *ret_len)
{
	size_t left = (size_t)(b->end - b->p), len;

	if (left < BUNDLE_FRAME_BYTES)
		return false;
	len = u32(b->p);
	if (!len || len > BUNDLE_RECORD_MAX || len > left - BUNDLE_FRAME_BYTES ||
		u32(b->p + 4) != checksum(b->p, b->p + BUNDLE_FRAME_BYTES, len))
		return false;
	*ret = b->p + BUNDLE_FRAME_BYTES;
	*ret_len = len;
	b->p += BUNDLE_FRAME_BYTES + len;
	b->good += BUNDLE_FRAME_BYTES + len;
	return true;
}

int
bundle_read(struct buf *out, int dir_fd, uint64_t n)
{
	char name[TILE_NAME_MAX];
	int r = fs_read(dir_fd, tile_name(name, (struct tile){ TILE_RECORDS, n, TILE_WIDTH }),
		BUNDLE_MAX, out);

	if (r == REASON_NOT_FOUND || r < 0)
		return FAULT(r);
	return r ? (int)REASON_ALTERED : 0;
}

/* --- tombstones ------------------------------------------------------------------------------- */
int
bundle_tombstone(struct buf *out, uint64_t n, uint64_t time_us)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? json_put_time(doc, "erased", time_us) : -ENOMEM;

	r = r ?: json_put_u64(doc, "n", n);
	return FAULT(r ?: json_canonical(out, doc));
}

/* Read as what bundle_tombstone() writes, byte by byte, and by no parser of JSON: a log of years holds millions. */
bool
bundle_is_tombstone(const void *record, size_t len, uint64_t n, uint64_t *ret_time_us)
{
	static const char begin[] = "{\"erased\":\"";
	char text[BUNDLE_TOMBSTONE_MAX + 1], rest[40];
	char *time, *end;

	if (len > BUNDLE_TOMBSTONE_MAX || len < sizeof(begin) || memcmp(record, begin, sizeof(begin) - 1) != 0)
		return false;
	memcpy(text, record, len);
	text[len] = '\0';
	time = text + sizeof(begin) - 1;
	end = strchr(time, '"');
	(void)snprintf(rest, sizeof(rest), "\",\"n\":%" PRIu64 "}", n);
	if (!end || strlen(text) != len || strcmp(end, rest) != 0)
		return false;
	*end = '\0';
	return clock_parse(ret_time_us, time) == 0;
}
