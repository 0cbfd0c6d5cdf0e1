#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/record/record_doubt.h"
#include "appliance/record/record_room.h"

static int
refuse_damage(const struct record *r, const struct segment_name *s, uint64_t offset,
	uint64_t sequence)
{
	char place[REFUSE_PLACE_MAX], file[SEGMENT_NAME_MAX];

	(void)snprintf(place, sizeof(place), "%s/%s:%llu", r->name,
		segment_format_name(file, s->first, s->generation), (unsigned long long)offset);
	return REFUSE_AT(REASON_ALTERED, r->name, place, "record %llu is damaged",
		(unsigned long long)sequence);
}

/* Walk the good records from at on: sets next, and durable to what the last of them proves.  Returns where they end. */
static size_t
walk(struct record *r, const uint8_t *p, size_t len, size_t at)
{
	struct segment_record rec;

	while (segment_record(&rec, r->salt, p + at, len - at) && rec.sequence == r->next) {
		at += rec.bytes;
		r->next++;
		r->durable = rec.durable;
	}
	return at;
}

/* Good records that nothing proves to be durable count from now on.  The last process may have failed to sync them, and
 * the kernel calls their pages clean then, which stand in memory alone: so they are written again, in their place. */
static int
write_again(const struct record *r, int fd, const uint8_t *p, size_t end)
{
	struct segment_record rec;
	size_t at = SEGMENT_HEADER_BYTES;
	int res;

	while (segment_record(&rec, r->salt, p + at, end - at) && rec.sequence <= r->durable)
		at += rec.bytes;
	res = record_write_at(fd, p + at, end - at, at);
	if (res == 0 && fdatasync(fd) < 0)
		res = FAULT(-errno);
	return res;
}

/* The last segment is damaged: nothing is appended to it, sequences go on behind its last good record. */
static void
pass_damage(struct record *r, const uint8_t *p, size_t len, size_t at)
{
	struct segment_record rec;
	size_t step;
	bool damage;

	while (at < len &&
		segment_search(p + at, len - at, r->salt, r->next, &step, &rec, &damage)) {
		r->next = rec.sequence + 1;
		at = walk(r, p, len, at + step + rec.bytes);
	}
}

int
record_recover(struct record *r)
{
	const struct segment_name *last = &r->segments[r->n_segments - 1];
	SCOPED(buf_done) struct buf b = BUF_MAX(SEGMENT_FILE_MAX);
	SCOPED(scope_close) int fd = -1;
	char file[SEGMENT_NAME_MAX];
	struct segment_record rec;
	bool damage = false;
	size_t at, step;
	int res;

	r->next = last->first;
	fd = openat(r->dir_fd, segment_format_name(file, last->first, last->generation),
		O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return FAULT(-errno);
	res = fs_read_fd(fd, SEGMENT_FILE_MAX, &b);
	if (res)
		return res < 0 ? res : refuse_damage(r, last, 0, last->first);
	if (!segment_header(b.data, b.len, last->first, &r->salt)) {
		res = refuse_damage(r, last, 0, last->first);
		/* Nobody can say how many records it held: no sequence of theirs is given out again. */
		r->next += b.len / SEGMENT_RECORD_BYTES + 1;
		return r->limits.keep_damaged ? 0 : res;
	}
	at = walk(r, b.data, b.len, SEGMENT_HEADER_BYTES);
	if (at < b.len)
		(void)segment_search(b.data + at, b.len - at, r->salt, r->next, &step, &rec,
			&damage);
	if (damage) {
		res = refuse_damage(r, last, at, r->next);
		pass_damage(r, b.data, b.len, at);
		return r->limits.keep_damaged ? 0 : res;
	}
	if (at < b.len && ftruncate(fd, (off_t)at) < 0)
		return FAULT(-errno);
	res = write_again(r, fd, b.data, at);
	if (res < 0)
		return res;
	record_doubt_settle(r->salt, last->first);
	r->segments[r->n_segments - 1].bytes = at;
	r->end = at;
	r->fd = STEAL_FD(fd);
	return 0;
}
