#include "appliance/record/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/record/segment.h"

enum {
	DEFAULT_RECORD = 1024 * 1024,
	DEFAULT_SEGMENT = 4 * 1024 * 1024,
	DEFAULT_TOTAL = 256 * 1024 * 1024,
	LEAST_SEGMENT = 4096,
	PENDING_MAX = 4 * 1024 * 1024, /* unsynced bytes kept in memory before a sync is made */
};

struct record {
	char name[64];
	int dir_fd; /* locked */
	struct record_limits limits;
	struct segment_name *segments; /* in order; the last is the active one where fd >= 0 */
	size_t n_segments;
	int fd; /* the active segment, or -1: the next append makes one */
	uint32_t salt;
	uint64_t end;	    /* bytes of it that are good */
	uint64_t next;	    /* sequence of the next append */
	uint64_t durable;   /* all up to here are on disk; pending holds durable + 1 .. next - 1 */
	struct buf pending; /* len(u32) payload, for each record that is not durable yet */
	bool lost;	    /* the active segment failed: pending must be written anew */
	uint64_t bytes;
	uint64_t dropped;
};

static int
fill_limits(struct record_limits *l)
{
	uint64_t quarter;

	l->total_max = l->total_max ? l->total_max : DEFAULT_TOTAL;
	l->record_max = l->record_max ? l->record_max : DEFAULT_RECORD;
	l->dir_mode = l->dir_mode ? l->dir_mode : 0700;
	l->file_mode = l->file_mode ? l->file_mode : 0600;
	quarter = l->total_max / 4;
	l->segment_max = l->segment_max ? l->segment_max : DEFAULT_SEGMENT;
	if (l->segment_max > quarter)
		l->segment_max = (size_t)quarter;
	if (l->segment_max < LEAST_SEGMENT)
		l->segment_max = LEAST_SEGMENT;
	if (l->record_max > SEGMENT_PAYLOAD_MAX || l->segment_max > SEGMENT_FILE_MAX / 2)
		return FAULT(-EINVAL);
	return 0;
}

/* --- opening -------------------------------------------------------------------------------------------- */
static int
open_folder(struct record *r, int dir_fd, const char *name)
{
	int res;

	if (strlen(name) >= sizeof(r->name) || strchr(name, '/'))
		return FAULT(-EINVAL);
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	res = fs_open_dir(&r->dir_fd, dir_fd, name, r->limits.dir_mode);
	if (res < 0)
		return FAULT(res);
	if (r->limits.reader_gid && fchown(r->dir_fd, (uid_t)-1, r->limits.reader_gid) < 0)
		return FAULT(-errno);
	if (flock(r->dir_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return REFUSE(REASON_BUSY, name, "another process writes this record");
		return FAULT(-errno);
	}
	return 0;
}

/* What a crash between making and naming a segment left. */
static int
sweep(const struct record *r)
{
	int fd = openat(r->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		int res = FAULT(-errno);

		scope_close(&fd);
		return res;
	}
	while ((e = readdir(d)))
		if (strncmp(e->d_name, ".tmp.", 5) == 0)
			(void)unlinkat(r->dir_fd, e->d_name, 0);
	return 0;
}

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

/* Walk the good records from the header on: sets end, next. */
static size_t
walk(struct record *r, const uint8_t *p, size_t len)
{
	struct segment_record rec;
	size_t at = SEGMENT_HEADER_BYTES;

	while (segment_record(&rec, r->salt, p + at, len - at) && rec.sequence == r->next) {
		at += rec.bytes;
		r->next++;
	}
	return at;
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
		at += step + rec.bytes;
		while (segment_record(&rec, r->salt, p + at, len - at) && rec.sequence == r->next) {
			at += rec.bytes;
			r->next++;
		}
	}
}

static int
recover(struct record *r)
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
	at = walk(r, b.data, b.len);
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
	if (fdatasync(fd) <
		0) /* good records that the last process did not sync count from now on */
		return FAULT(-errno);
	r->segments[r->n_segments - 1].bytes = at;
	r->end = at;
	r->fd = STEAL_FD(fd);
	return 0;
}

int
record_open(struct record **ret, int dir_fd, const char *name, const struct record_limits *limits)
{
	SCOPED(record_closep) struct record *r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return FAULT(-ENOMEM);
	r->dir_fd = r->fd = -1;
	r->next = 1;
	r->pending = BUF_MAX(PENDING_MAX + SEGMENT_PAYLOAD_MAX + 4);
	r->limits = limits ? *limits : (struct record_limits){ 0 };
	res = fill_limits(&r->limits);
	res = res ? res : open_folder(r, dir_fd, name);
	res = res ? res : sweep(r);
	res = res ? res : segment_list(&r->segments, &r->n_segments, r->dir_fd);
	if (res)
		return res;
	if (r->n_segments > 0)
		res = recover(r);
	if (res)
		return res;
	r->durable = r->next - 1;
	for (size_t i = 0; i < r->n_segments; i++)
		r->bytes += r->segments[i].bytes;
	*ret = STEAL(r);
	return 0;
}

struct record *
record_close(struct record *r)
{
	if (!r)
		return NULL;
	scope_close(&r->fd);
	scope_close(&r->dir_fd); /* and with it the lock */
	free(r->segments);
	buf_done(&r->pending);
	free(r);
	return NULL;
}

/* --- writing -------------------------------------------------------------------------------------------- */
static int
write_at(int fd, const uint8_t *p, size_t len, uint64_t at)
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
	res = write_at(fd, head.data, head.len, 0);
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
	res = res ? res : fs_sync_dir(r->dir_fd);
	if (res < 0) {
		(void)unlinkat(r->dir_fd, tmp, 0);
		return FAULT(res);
	}
	scope_close(&r->fd);
	r->fd = STEAL_FD(fd);
	r->end = SEGMENT_HEADER_BYTES;
	r->segments[r->n_segments++] = name;
	r->bytes += SEGMENT_HEADER_BYTES;
	return 0;
}

/* Remove the oldest segment; never the last. */
static int
remove_oldest(struct record *r, bool counted)
{
	char file[SEGMENT_NAME_MAX];
	struct segment_name *s = r->segments;

	if (unlinkat(r->dir_fd, segment_format_name(file, s->first, s->generation), 0) < 0 &&
		errno != ENOENT)
		return FAULT(-errno);
	r->bytes -= s->bytes;
	if (counted)
		r->dropped += s[1].first - s->first;
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
	res = write_at(r->fd, b.data, b.len, r->end);
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
		res = remove_oldest(r, true);
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
	if (r->lost || r->pending.len > PENDING_MAX)
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

uint64_t
record_next_sequence(const struct record *r)
{
	return r->next;
}

uint64_t
record_first_sequence(const struct record *r)
{
	return r->n_segments > 0 ? r->segments[0].first : r->next;
}

uint64_t
record_bytes(const struct record *r)
{
	return r->bytes;
}

uint64_t
record_dropped(const struct record *r)
{
	return r->dropped;
}

int
record_trim(struct record *r, uint64_t upto_seq)
{
	while (r->n_segments > 1 && r->segments[1].first <= upto_seq + 1) {
		int res = remove_oldest(r, false);

		if (res < 0)
			return res;
	}
	return 0;
}
