#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/record/record_room.h"

int
record_write_at(int fd, const uint8_t *p, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FAULT(n < 0 ? -errno : -EIO);
		p += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int
make_file(struct record *r, int *ret_fd, const char *tmp, uint64_t first)
{
	SCOPED(buf_done) struct buf head = BUF_MAX(SEGMENT_HEADER_BYTES);
	SCOPED(scope_close) int fd = -1;
	int res;

	fs_random(&r->salt, sizeof(r->salt));
	segment_put_header(&head, r->salt, first);
	if (buf_error(&head))
		return FAULT(buf_error(&head));
	fd = openat(r->dir_fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fchmod(fd, r->limits.file_mode) < 0)
		return FAULT(-errno);
	if (r->limits.reader_gid && fchown(fd, (uid_t)-1, r->limits.reader_gid) < 0)
		return FAULT(-errno);
	res = record_write_at(fd, head.data, head.len, 0);
	if (res == 0 && fsync(fd) < 0)
		res = FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return res;
}

/* Begin a segment with this sequence.  It has its name only once its header is on disk. */
static int
begin_segment(struct record *r, uint64_t first)
{
	struct segment_name name = { .first = first, .bytes = SEGMENT_HEADER_BYTES };
	SCOPED(scope_close) int fd = -1;
	char tmp[SEGMENT_NAME_MAX + 8], file[SEGMENT_NAME_MAX];
	struct segment_name *more;
	int res;

	if (r->n_segments > 0 && r->segments[r->n_segments - 1].first == first)
		name.generation = r->segments[r->n_segments - 1].generation + 1;
	if (name.generation > 0xffff || r->n_segments == SEGMENTS_MAX)
		return FAULT(-EMFILE);
	more = reallocarray(r->segments, r->n_segments + 1, sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	r->segments = more;
	segment_format_name(file, first, name.generation);
	(void)snprintf(tmp, sizeof(tmp), ".tmp.%s", file);
	res = make_file(r, &fd, tmp, first);
	if (res == 0 && renameat(r->dir_fd, tmp, r->dir_fd, file) < 0)
		res = FAULT(-errno);
	if (res < 0) {
		(void)unlinkat(r->dir_fd, tmp, 0);
		return FAULT(res);
	}
	/* From here on a reader may have it open: where the folder's sync fails it stays, empty, and the next one is another. */
	r->segments[r->n_segments++] = name;
	r->bytes += SEGMENT_HEADER_BYTES;
	res = fs_sync_dir(r->dir_fd);
	if (res < 0)
		return FAULT(res);
	scope_close(&r->fd);
	r->fd = STEAL_FD(fd);
	r->end = SEGMENT_HEADER_BYTES;
	return 0;
}

/* Remove the oldest segment; never the last. */
static int
remove_oldest(struct record *r)
{
	char file[SEGMENT_NAME_MAX];
	struct segment_name *s = r->segments;

	if (unlinkat(r->dir_fd, segment_format_name(file, s->first, s->generation), 0) < 0 &&
		errno != ENOENT)
		return FAULT(-errno);
	r->bytes -= s->bytes;
	r->n_segments--;
	memmove(s, s + 1, r->n_segments * sizeof(*s));
	return 0;
}

/* Write records sequence.. at the end of the active segment. */
static int
write_record(struct record *r, uint64_t sequence, const void *p, size_t len)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SEGMENT_RECORD_BYTES + len);
	int res;

	segment_put_record(&b, r->salt, sequence, r->durable, p, len);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	res = record_write_at(r->fd, b.data, b.len, r->end);
	if (res < 0) {
		/* Nothing of it may stay: the next record goes to the same place. */
		if (ftruncate(r->fd, (off_t)r->end) < 0)
			r->lost = true;
		return FAULT(res);
	}
	r->end += b.len;
	r->bytes += b.len;
	r->segments[r->n_segments - 1].bytes += b.len;
	return 0;
}

/* The active segment can no longer be believed: a fresh one gets all that is not durable. */
static int
write_anew(struct record *r)
{
	struct cursor c = CURSOR(r->pending.data, r->pending.len);
	uint64_t sequence = r->durable + 1;
	int res = begin_segment(r, sequence);

	while (res == 0 && cursor_left(&c) > 0) {
		uint32_t len = cursor_u32(&c);
		const uint8_t *p = cursor_bytes(&c, len);

		res = p ? write_record(r, sequence++, p, len) : FAULT(-EPROTO);
	}
	if (res == 0 && fdatasync(r->fd) < 0)
		res = FAULT(-errno);
	r->lost = res < 0;
	return res;
}

int
record_sync(struct record *r)
{
	int res = 0;

	if (r->durable + 1 == r->next && !r->lost)
		return 0;
	if (r->lost || fdatasync(r->fd) < 0)
		/* An error of fsync is final: the kernel calls the pages clean from then on. */
		res = write_anew(r);
	if (res < 0)
		return FAULT(res);
	r->durable = r->next - 1;
	buf_reset(&r->pending);
	return 0;
}

/* Rotation and quota, before a record of this many bytes. */
static int
make_room(struct record *r, size_t need)
{
	int res = 0;

	if (r->fd >= 0 && r->end > SEGMENT_HEADER_BYTES && r->end + need > r->limits.segment_max) {
		res = record_sync(r);
		if (res < 0)
			return res;
		scope_close(&r->fd);
	}
	if (r->fd < 0)
		need += SEGMENT_HEADER_BYTES;
	while (r->limits.drop_oldest && r->n_segments > 1 &&
		r->bytes + need > r->limits.total_max) {
		res = remove_oldest(r);
		if (res < 0)
			return res;
	}
	if (r->bytes + need > r->limits.total_max)
		return -ENOSPC;
	return r->fd < 0 ? begin_segment(r, r->next) : 0;
}

int
record_append_unsynced(struct record *r, const void *p, size_t len, uint64_t *ret_seq)
{
	int res = 0;

	if (len > r->limits.record_max)
		return REFUSE(REASON_TOO_LARGE, r->name, "a record of %zu bytes, of at most %zu",
			len, r->limits.record_max);
	if (r->lost || r->pending.len > RECORD_PENDING_MAX)
		res = record_sync(r);
	res = res ? res : make_room(r, SEGMENT_RECORD_BYTES + len);
	/* Room in memory first: what was written must be there to be written anew. */
	if (res == 0 && !buf_reserve(&r->pending, 4 + len)) {
		res = FAULT(buf_error(&r->pending));
		r->pending.error = 0; /* what it holds is still needed */
	}
	res = res ? res : write_record(r, r->next, p, len);
	if (res == -ENOSPC || res == -EDQUOT)
		return REFUSE(REASON_NO_SPACE, r->name, "no room for a record of %zu bytes", len);
	if (res < 0)
		return FAULT(res);
	buf_u32(&r->pending, (uint32_t)len);
	buf_put(&r->pending, p, len);
	if (ret_seq)
		*ret_seq = r->next;
	r->next++;
	return 0;
}

int
record_append(struct record *r, const void *p, size_t len, uint64_t *ret_seq)
{
	int res = record_append_unsynced(r, p, len, ret_seq);

	return res ? res : record_sync(r);
}

int
record_trim(struct record *r, uint64_t upto_seq)
{
	while (r->n_segments > 1 && r->segments[1].first <= upto_seq + 1) {
		int res = remove_oldest(r);

		if (res < 0)
			return res;
	}
	return 0;
}
