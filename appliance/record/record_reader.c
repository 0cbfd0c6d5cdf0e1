/* The reading half of record.h. */
#include "appliance/record/record.h"

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
#include "appliance/base/refuse.h"
#include "appliance/record/record_doubt.h"
#include "appliance/record/segment.h"

enum {
	LOOK_AGAIN = 1,
	OPEN_TRIES = 8, /* the writer may trim a segment between our listing and our opening it */
};

struct record_reader {
	char name[64];
	int dir_fd;
	int fd;			 /* the present segment, or -1 */
	struct segment_name now; /* that one */
	bool headless;		 /* its header is damaged */
	uint32_t salt;
	uint64_t offset; /* of the next record in it */
	uint64_t expect; /* its sequence */
	uint64_t want;	 /* what the caller has not seen yet */
	uint64_t synced; /* bytes of the segment known to be on disk */
};

int
record_reader_open(struct record_reader **ret, int dir_fd, const char *name, uint64_t from_seq)
{
	SCOPED(record_reader_closep) struct record_reader *rd = calloc(1, sizeof(*rd));

	if (!rd)
		return FAULT(-ENOMEM);
	rd->dir_fd = rd->fd = -1;
	rd->want = from_seq;
	(void)snprintf(rd->name, sizeof(rd->name), "%s", name);
	rd->dir_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (rd->dir_fd < 0)
		return errno == ENOENT ? REASON_NOT_FOUND : FAULT(-errno);
	*ret = STEAL(rd);
	return 0;
}

struct record_reader *
record_reader_close(struct record_reader *rd)
{
	if (!rd)
		return NULL;
	scope_close(&rd->fd);
	scope_close(&rd->dir_fd);
	free(rd);
	return NULL;
}

int
record_reader_seek(struct record_reader *rd, uint64_t seq)
{
	scope_close(&rd->fd);
	rd->want = seq;
	return 0;
}

/* --- segments ------------------------------------------------------------------------------------------- */
static int
open_segment(struct record_reader *rd, const struct segment_name *s)
{
	SCOPED(scope_close) int fd = -1;
	uint8_t head[SEGMENT_HEADER_BYTES];
	char file[SEGMENT_NAME_MAX];
	ssize_t n;

	fd = openat(rd->dir_fd, segment_format_name(file, s->first, s->generation),
		O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? REASON_NOT_FOUND : FAULT(-errno);
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return FAULT(-errno);
	rd->headless = !segment_header(head, (size_t)n, s->first, &rd->salt);
	scope_close(&rd->fd);
	rd->fd = STEAL_FD(fd);
	rd->now = *s;
	rd->offset = SEGMENT_HEADER_BYTES;
	rd->expect = s->first;
	rd->synced = 0;
	return 0;
}

/* Open the segment that holds what is wanted, or the oldest after it. */
static int
locate(struct record_reader *rd)
{
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		SCOPED(scope_free) struct segment_name *names = NULL;
		size_t n = 0, pick = 0;
		int r = segment_list(&names, &n, rd->dir_fd);

		if (r < 0)
			return r;
		if (n == 0)
			return RECORD_END;
		for (size_t i = 1; i < n; i++)
			if (names[i].first <= rd->want)
				pick = i;
		while (pick + 1 < n && names[pick + 1].first == names[pick].first)
			pick++; /* the last generation */
		r = open_segment(rd, &names[pick]);
		if (r != REASON_NOT_FOUND)
			return r;
	}
	return RECORD_END;
}

static bool
is_after(const struct segment_name *a, const struct segment_name *b)
{
	return a->first > b->first || (a->first == b->first && a->generation > b->generation);
}

/* The segment after the present one; *ret_here tells whether the present one is still there itself.  Returns
 * 0 or RECORD_END where there is none. */
static int
find_later(const struct record_reader *rd, struct segment_name *ret, bool *ret_here)
{
	SCOPED(scope_free) struct segment_name *names = NULL;
	size_t n = 0;
	int r = segment_list(&names, &n, rd->dir_fd);

	if (r < 0)
		return r;
	*ret_here = false;
	for (size_t i = 0; i < n; i++) {
		if (names[i].first == rd->now.first && names[i].generation == rd->now.generation)
			*ret_here = true;
		if (is_after(&names[i], &rd->now)) {
			*ret = names[i];
			return 0;
		}
	}
	return RECORD_END;
}

/* --- records -------------------------------------------------------------------------------------------- */
enum found { FOUND_RECORD, FOUND_END, FOUND_BAD };

/* Read the record at the offset into memory (replaced). */
static int
read_record(const struct record_reader *rd, struct buf *memory, struct segment_record *ret,
	enum found *found)
{
	uint8_t head[SEGMENT_RECORD_BYTES];
	struct cursor c = CURSOR(head, sizeof(head));
	ssize_t n = pread(rd->fd, head, sizeof(head), (off_t)rd->offset);
	uint32_t len;
	uint8_t *room;

	*found = FOUND_BAD;
	if (n < 0)
		return FAULT(-errno);
	if (n == 0)
		*found = FOUND_END;
	len = cursor_u32(&c);
	if ((size_t)n < sizeof(head) || len > SEGMENT_PAYLOAD_MAX)
		return 0;
	buf_reset(memory);
	buf_put(memory, head, sizeof(head));
	room = buf_reserve(memory, len);
	if (!room)
		return FAULT(buf_error(memory));
	n = pread(rd->fd, room, len, (off_t)(rd->offset + sizeof(head)));
	if (n < 0)
		return FAULT(-errno);
	buf_advance(memory, (size_t)n);
	if (segment_record(ret, rd->salt, memory->data, memory->len) && ret->sequence == rd->expect)
		*found = FOUND_RECORD;
	return 0;
}

/* All bytes from the offset to the end of the segment. */
static int
read_rest(const struct record_reader *rd, struct buf *out)
{
	uint64_t at = rd->offset;

	for (;;) {
		uint8_t piece[16384];
		ssize_t n = pread(rd->fd, piece, sizeof(piece), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			return buf_error(out);
		buf_put(out, piece, (size_t)n);
		at += (uint64_t)n;
	}
}

static int
refuse_damage(const struct record_reader *rd)
{
	char place[REFUSE_PLACE_MAX], file[SEGMENT_NAME_MAX];

	(void)snprintf(place, sizeof(place), "%s/%s:%llu", rd->name,
		segment_format_name(file, rd->now.first, rd->now.generation),
		(unsigned long long)(rd->headless ? 0 : rd->offset));
	return REFUSE_AT(REASON_ALTERED, rd->name, place, "record %llu is damaged",
		(unsigned long long)rd->expect);
}

/* No good record stands at the offset.  Returns 0 where reading goes on in a later segment, RECORD_END,
 * REASON_ALTERED, or a fault. */
static int
judge_gap(struct record_reader *rd, enum found found, bool *looked_again)
{
	SCOPED(buf_done) struct buf rest = BUF_MAX(SEGMENT_FILE_MAX);
	struct segment_name later;
	struct segment_record rec;
	bool here = false, damage = false;
	size_t at;
	int r = find_later(rd, &later, &here);

	if (r == 0 && (rd->expect >= later.first || (found == FOUND_END && !here))) {
		/* Finished, abandoned from here on, or trimmed while we read it. */
		r = open_segment(rd, &later);
		return r == REASON_NOT_FOUND ? RECORD_END : r;
	}
	if (r == 0 && !*looked_again) {
		/* The writer may have appended and gone on to the next segment since we read: with that one
		 * there, this one is final, and a second look decides. */
		*looked_again = true;
		return 0;
	}
	if (r == 0)
		return refuse_damage(rd); /* the next segment says that more was here */
	if (r != RECORD_END || found == FOUND_END)
		return r;
	if (rd->headless)
		return refuse_damage(rd);
	r = read_rest(rd, &rest);
	if (r < 0)
		return r;
	(void)segment_search(rest.data, rest.len, rd->salt, rd->expect, &at, &rec, &damage);
	return damage ? refuse_damage(rd) : RECORD_END; /* torn, or being written at this moment */
}

/* A sync failed, and the kernel calls the pages clean from then on.  The record at the offset was durable where the writer
 * says so: in a later record, or by a later segment; or he has written it anew.  Returns 0; LOOK_AGAIN where it stands in
 * another segment; or a fault: not yet. */
static int
look_for_proof(struct record_reader *rd)
{
	SCOPED(buf_done) struct buf rest = BUF_MAX(SEGMENT_FILE_MAX);
	struct segment_name later;
	struct segment_record rec;
	bool here;
	int r = find_later(rd, &later, &here);

	if (r == 0 && rd->expect >= later.first) {
		r = open_segment(rd, &later);
		return r == 0 || r == REASON_NOT_FOUND ? LOOK_AGAIN : r;
	}
	if (r <= 0)
		return r;
	r = read_rest(rd, &rest);
	for (size_t at = 0; r == 0 && segment_record(&rec, rd->salt, rest.data + at, rest.len - at); at += rec.bytes)
		if (rec.durable >= rd->expect)
			return 0;
	return FAULT(r ?: -EIO);
}

/* What we hand out may be acted upon, so it must not vanish in a power cut. */
static int
make_durable(struct record_reader *rd, uint64_t upto)
{
	struct stat st;

	if (upto <= rd->synced)
		return 0;
	if (!record_doubt_has(rd->salt, rd->now.first)) {
		if (fstat(rd->fd, &st) < 0)
			return FAULT(-errno);
		if (fdatasync(rd->fd) == 0) {
			rd->synced = (uint64_t)st.st_size;
			return 0;
		}
		record_doubt_raise(rd->salt, rd->now.first);
	}
	return look_for_proof(rd);
}

int
record_reader_next(struct record_reader *rd, struct buf *out, uint64_t *ret_seq)
{
	SCOPED(buf_done) struct buf memory = BUF_MAX(SEGMENT_RECORD_BYTES + SEGMENT_PAYLOAD_MAX);
	struct segment_record rec = { 0 };
	enum found found = FOUND_BAD;
	bool looked_again = false;
	int r = 0;

	for (;;) {
		if (rd->fd < 0)
			r = locate(rd);
		found = FOUND_BAD;
		if (r == 0 && !rd->headless)
			r = read_record(rd, &memory, &rec, &found);
		if (r == 0 && found != FOUND_RECORD) {
			r = judge_gap(rd, found, &looked_again);
			if (r == 0)
				continue;
		}
		if (r)
			return r;
		looked_again = false;
		if (rec.sequence >= rd->want) {
			r = make_durable(rd, rd->offset + rec.bytes);
			if (r == 0)
				break;
			if (r < 0)
				return r;
			r = 0;
			continue;
		}
		rd->offset += rec.bytes;
		rd->expect++;
	}
	/* Who finds no room reads the same record again. */
	buf_reset(out);
	if (rec.len <= out->max && !buf_reserve(out, rec.len))
		return FAULT(buf_error(out));
	rd->offset += rec.bytes;
	rd->expect++;
	rd->want = rd->expect;
	if (rec.len > out->max)
		return REFUSE(REASON_TOO_LARGE, rd->name,
			"record %llu has %zu bytes, of at most %zu",
			(unsigned long long)rec.sequence, rec.len, out->max);
	buf_put(out, rec.payload, rec.len);
	if (ret_seq)
		*ret_seq = rec.sequence;
	return 0;
}

int
record_reader_skip(struct record_reader *rd)
{
	SCOPED(buf_done) struct buf rest = BUF_MAX(SEGMENT_FILE_MAX);
	struct segment_name later;
	struct segment_record rec;
	bool here, damage, has_later;
	size_t at;
	int r;

	if (rd->fd < 0)
		return 0;
	r = find_later(rd, &later, &here);
	if (r < 0)
		return r;
	has_later = r == 0;
	r = read_rest(rd, &rest);
	if (r < 0)
		return r;
	if (!rd->headless &&
		segment_search(rest.data, rest.len, rd->salt, rd->expect, &at, &rec, &damage) &&
		(!has_later || rec.sequence < later.first)) {
		rd->offset += at;
		rd->expect = rec.sequence;
		if (rd->want < rec.sequence)
			rd->want = rec.sequence;
		return 0;
	}
	if (!has_later)
		return RECORD_END;
	r = open_segment(rd, &later);
	return r == REASON_NOT_FOUND ? RECORD_END : r;
}

int
record_reader_newest(struct record_reader *rd, uint64_t *ret_seq)
{
	SCOPED(buf_done) struct buf none = BUF_MAX(1);
	uint64_t want = rd->want;
	int r;

	(void)record_reader_seek(rd, UINT64_MAX);
	do
		r = record_reader_next(rd, &none, NULL);
	while (r == REASON_ALTERED && (r = record_reader_skip(rd)) == 0);
	*ret_seq = rd->fd >= 0 ? rd->expect - 1 : 0;
	(void)record_reader_seek(rd, want);
	return r < 0 ? FAULT(r) : 0;
}
