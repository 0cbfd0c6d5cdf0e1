#include "appliance/monitor/outbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ledger.h"
#include "appliance/record/record.h"
#include "appliance/trust/sha256.h"

/* Heartbeats and audit heads replace each other, so the oldest may go; results are kept until they are
 * acknowledged, and a full disk refuses new work instead. */
static const struct {
	const char *name;
	bool drop_oldest;
	uint64_t total_max;
} streams[] = {
	{ "heartbeat", true, 4 << 20 },
	{ "audit", true, 4 << 20 },
	{ LEDGER_WITNESS, true, 4 << 20 },
	{ LEDGER_KEPT, false, 64 << 20 },
};

/* Kept free in streams that drop nothing: else a full one whose oldest record must go behind could never let go of
 * it. */
enum { BEHIND_ROOM = 2 * LEDGER_RECORD_MAX };

/* Where a stream was read last.  Answers come for one record after the other, each is looked at more than once, and a
 * segment has thousands. */
struct place {
	struct record_reader *reader; /* NULL: none yet */
	uint64_t next;		      /* what it reads next */
	uint64_t sequence;	      /* of the record that was read last; 0: none is kept */
	struct buf record;
};

struct outbox {
	int dir_fd;
	struct record *records[ARRAY_LEN(streams)];
	struct place places[ARRAY_LEN(streams)];
};

SCOPED_DESTRUCTOR(struct outbox, outbox_close)

static int
find(const char *stream)
{
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		if (strcmp(streams[i].name, stream) == 0)
			return (int)i;
	return -1;
}

int
outbox_open(struct outbox **ret, int lib_fd, gid_t reader_gid)
{
	SCOPED(outbox_closep) struct outbox *o = calloc(1, sizeof(*o));
	SCOPED(scope_close) int fd = -1;
	bool shared = reader_gid != (gid_t)-1;
	int r;

	if (!o)
		return FAULT(-ENOMEM);
	o->dir_fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(o->places); i++)
		o->places[i].record = BUF_MAX(LEDGER_RECORD_MAX);
	r = fs_open_dir(&fd, lib_fd, "outbox", shared ? 0750 : 0700);
	if (r == 0 && shared && fchown(fd, (uid_t)-1, reader_gid) < 0)
		r = -errno;
	if (r == 0 && shared && fchmod(fd, 0750) < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(streams); i++) {
		struct record_limits limits = {
			.record_max = LEDGER_RECORD_MAX,
			.total_max = streams[i].total_max,
			.drop_oldest = streams[i].drop_oldest,
			.keep_damaged = true,
			.dir_mode = shared ? 0750 : 0700,
			.file_mode = shared ? 0640 : 0600,
			.reader_gid = shared ? reader_gid : 0,
		};

		r = record_open(&o->records[i], fd, streams[i].name, &limits);
	}
	if (r)
		return r < 0 ? FAULT(r) : r;
	o->dir_fd = STEAL_FD(fd);
	*ret = STEAL(o);
	return 0;
}

struct outbox *
outbox_close(struct outbox *o)
{
	if (!o)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(o->records); i++) {
		o->records[i] = record_close(o->records[i]);
		record_reader_close(o->places[i].reader);
		buf_done(&o->places[i].record);
	}
	if (o->dir_fd >= 0)
		(void)close(o->dir_fd);
	free(o);
	return NULL;
}

int
outbox_put(struct outbox *o, const char *stream, const char *class, const char *path,
	const char *content_type, const void *body, size_t len, uint64_t now_us,
	uint64_t *ret_sequence)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e = { .time_us = now_us, .body = body, .body_len = len };
	int i = find(stream), r;

	if (i < 0)
		return REFUSE(REASON_NOT_FOUND, stream, "is no stream of the monitor");
	(void)snprintf(e.class_name, sizeof(e.class_name), "%s", class);
	(void)snprintf(e.path, sizeof(e.path), "%s", path);
	(void)snprintf(e.content_type, sizeof(e.content_type), "%s", content_type);
	r = ledger_encode(&b, &e);
	if (r == 0 && !streams[i].drop_oldest &&
		record_bytes(o->records[i]) + b.len + BEHIND_ROOM > streams[i].total_max)
		return REFUSE(REASON_NO_SPACE, stream, "no room for a record of %zu bytes", b.len);
	r = r ?: record_append(o->records[i], b.data, b.len, ret_sequence);
	return r < 0 ? FAULT(r) : r;
}

/* --- reading ------------------------------------------------------------------------------------- */
static void
forget(struct place *p)
{
	buf_done(&p->record);
	p->record = BUF_MAX(LEDGER_RECORD_MAX);
	p->sequence = 0;
}

/* Bring the stream's place to the first record from this sequence on; over: behind damage, too.  Returns 0, RECORD_END,
 * REASON_ALTERED (logged with its place) or what else a reader says. */
static int
advance(struct outbox *o, int i, uint64_t from, bool over)
{
	struct place *p = &o->places[i];
	uint64_t found = 0;
	int r = 0;

	if (p->sequence == from && from > 0)
		return 0;
	forget(p);
	if (!p->reader)
		r = record_reader_open(&p->reader, o->dir_fd, streams[i].name, from);
	else if (p->next != from)
		r = record_reader_seek(p->reader, from);
	p->next = from;
	r = r ?: record_reader_next(p->reader, &p->record, &found);
	if (r == REASON_ALTERED && over) {
		r = record_reader_skip(p->reader);
		r = r ?: record_reader_next(p->reader, &p->record, &found);
	}
	if (r == 0) {
		p->sequence = found;
		p->next = found + 1;
	} else if (r != RECORD_END) {
		p->reader = record_reader_close(p->reader); /* the next look begins anew */
	}
	return r;
}

/* Lent until the next look.  What was damaged is known no more. */
static int
read_record(struct outbox *o, const char *stream, uint64_t sequence, const struct buf **ret)
{
	int i = find(stream), r;

	if (i < 0)
		return REASON_NOT_FOUND;
	r = advance(o, i, sequence, false);
	if (r == RECORD_END || r == REASON_ALTERED || (r == 0 && o->places[i].sequence != sequence))
		return REASON_NOT_FOUND;
	*ret = &o->places[i].record;
	return r < 0 ? FAULT(r) : r;
}

int
outbox_digest(struct outbox *o, const char *stream, uint64_t sequence, uint8_t ret_digest[32])
{
	const struct buf *record = NULL;
	struct ledger_entry e;
	int r = read_record(o, stream, sequence, &record);

	r = r ?: ledger_decode(&e, record->data, record->len, stream);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(ret_digest, e.body, e.body_len);
	return 0;
}

int
outbox_first(struct outbox *o, const char *stream, uint64_t from, uint64_t *ret_sequence)
{
	int i = find(stream), r;

	if (i < 0)
		return REASON_NOT_FOUND;
	r = advance(o, i, from, true);
	if (r)
		return r < 0 ? FAULT(r) : REASON_NOT_FOUND;
	*ret_sequence = o->places[i].sequence;
	return 0;
}

/* The same entry around another body; without one, as it stands. */
static int
change_body(struct buf *out, const struct buf *record, outbox_change_fn *change, void *arg, const char *stream)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e;
	int r = ledger_decode(&e, record->data, record->len, stream);

	r = r ?: change(&body, e.body, e.body_len, arg);
	if (r == 0 && body.len > 0) {
		e.body = body.data;
		e.body_len = body.len;
	}
	r = r ?: ledger_encode(out, &e);
	return r < 0 ? FAULT(r) : r;
}

int
outbox_behind(struct outbox *o, const char *stream, uint64_t sequence, outbox_change_fn *change, void *arg,
	uint64_t *ret_sequence)
{
	SCOPED(buf_done) struct buf changed = BUF_MAX(LEDGER_RECORD_MAX);
	const struct buf *b = NULL;
	int r = read_record(o, stream, sequence, &b);

	if (r == 0 && change) {
		r = change_body(&changed, b, change, arg, stream);
		b = &changed;
	}
	r = r ?: record_append(o->records[find(stream)], b->data, b->len, ret_sequence);
	return r < 0 ? FAULT(r) : r;
}

int
outbox_committed(struct outbox *o, const char *stream, uint64_t sequence)
{
	int i = find(stream);

	if (i < 0)
		return REFUSE(REASON_NOT_FOUND, stream, "is no stream of the monitor");
	if (sequence >= record_next_sequence(o->records[i]))
		return REFUSE(REASON_MALFORMED, stream, "%llu was never sent",
			(unsigned long long)sequence);
	if (o->places[i].sequence <= sequence)
		forget(&o->places[i]);
	return FAULT(record_trim(o->records[i], sequence));
}

uint64_t
outbox_next(const struct outbox *o, const char *stream)
{
	int i = find(stream);

	return i < 0 ? 0 : record_next_sequence(o->records[i]);
}
