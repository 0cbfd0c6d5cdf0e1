#include "telemetry/spool/spool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "appliance/record/record.h"

struct spool {
	struct record *record;
	struct buf encoded;
	int dir_fd; /* borrowed */
	char stream[LEDGER_STREAM_MAX + 1];
	char lost_name[LEDGER_STREAM_MAX + 16]; /* "metrics.lost" */
	uint64_t committed;
	uint64_t lost;
	uint64_t since_us;
};

static int
save_lost(const struct spool *s)
{
	SCOPED_JSON *doc = json_pack("{s:I}", "lost", (json_int_t)s->lost);
	SCOPED(buf_done) struct buf out = BUF_MAX(256);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = json_put_time(doc, "since", s->since_us);
	r = r ?: json_canonical(&out, doc);
	r = r ?: fs_replace(s->dir_fd, s->lost_name, out.data, out.len, 0640);
	return FAULT(r);
}

static void
lost_name(char out[LEDGER_STREAM_MAX + 16], const char *stream)
{
	(void)snprintf(out, LEDGER_STREAM_MAX + 16, "%.*s.lost", LEDGER_STREAM_MAX, stream);
}

int
spool_read_lost(int dir_fd, const char *stream, uint64_t *ret_lost, uint64_t *ret_since_us)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(256);
	SCOPED_JSON *doc = NULL;
	struct {
		uint64_t lost, since_us;
	} read = { 0 };
	static const struct json_field fields[] = {
		{ "lost", JSON_KIND_U64, false, offsetof(__typeof__(read), lost), 0 },
		{ "since", JSON_KIND_TIME, false, offsetof(__typeof__(read), since_us), 0 },
	};
	char name[LEDGER_STREAM_MAX + 16];
	int r;

	lost_name(name, stream);
	r = fs_read(dir_fd, name, in.max, &in);
	r = r ?: json_read(&doc, in.data, in.len, in.max, name);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &read, name);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret_lost = read.lost;
	*ret_since_us = read.since_us;
	return 0;
}

int
spool_open(struct spool **ret, int dir_fd, const char *stream, const struct spool_limits *limits)
{
	SCOPED(spool_closep) struct spool *s = calloc(1, sizeof(*s));
	const struct record_limits kept = {
		.record_max = LEDGER_RECORD_MAX,
		.segment_max = limits->segment_max,
		.total_max = limits->total_max,
		.drop_oldest = true,
		.keep_damaged = true, /* what was damaged stays readable around; new samples go on */
		.dir_mode = 0750,
		.file_mode = 0640,
		.reader_gid = limits->reader_gid,
	};
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	if (strlen(stream) > LEDGER_STREAM_MAX)
		return FAULT(-EINVAL);
	s->encoded = BUF_MAX(LEDGER_RECORD_MAX);
	s->dir_fd = dir_fd;
	(void)snprintf(s->stream, sizeof(s->stream), "%s", stream);
	lost_name(s->lost_name, stream);
	r = record_open(&s->record, dir_fd, stream, &kept);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	/* A count that cannot be read begins anew, with a start of its own, as a counter may. */
	r = spool_read_lost(dir_fd, stream, &s->lost, &s->since_us);
	if (r > 0) {
		s->since_us = clock_now_us();
		r = save_lost(s);
	}
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}

struct spool *
spool_close(struct spool *s)
{
	if (!s)
		return NULL;
	record_close(s->record);
	buf_done(&s->encoded);
	free(s);
	return NULL;
}

const char *
spool_stream(const struct spool *s)
{
	return s->stream;
}

/* What lay between these two firsts was pushed out. */
static int
count_lost(struct spool *s, uint64_t before, uint64_t after)
{
	uint64_t from = before > s->committed ? before : s->committed + 1;

	if (after <= from)
		return 0;
	s->lost += after - from;
	return save_lost(s);
}

int
spool_write_unsynced(struct spool *s, const struct spool_item *item, uint64_t *ret_sequence)
{
	struct ledger_entry e = {
		.time_us = clock_now_us(),
		.body = item->body,
		.body_len = item->len,
		.coding = item->coding,
		.plain_len = item->plain_len,
		.note = item->note,
		.note_len = item->note_len,
	};
	uint64_t before = record_first_sequence(s->record);
	int r;

	if (strlen(item->path) > LEDGER_PATH_MAX || strlen(item->content_type) > LEDGER_TYPE_MAX)
		return FAULT(-EINVAL);
	(void)snprintf(e.class_name, sizeof(e.class_name), "%s", class_text(item->class));
	(void)snprintf(e.path, sizeof(e.path), "%s", item->path);
	(void)snprintf(e.content_type, sizeof(e.content_type), "%s", item->content_type);
	buf_reset(&s->encoded);
	r = ledger_encode(&s->encoded, &e);
	r = r ?: record_append_unsynced(s->record, s->encoded.data, s->encoded.len, ret_sequence);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return FAULT(count_lost(s, before, record_first_sequence(s->record)));
}

int
spool_sync(struct spool *s)
{
	return FAULT(record_sync(s->record));
}

int
spool_write(struct spool *s, const struct spool_item *item, uint64_t *ret_sequence)
{
	int r = spool_write_unsynced(s, item, ret_sequence);

	return r != 0 ? r : spool_sync(s);
}

/* The last good entry from sequence on; *ret_found tells whether there is one. */
static int
last_from(const struct spool *s, uint64_t sequence, struct buf *out, bool *ret_found)
{
	SCOPED(record_reader_closep) struct record_reader *reader = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e;
	int r = record_reader_open(&reader, s->dir_fd, s->stream, sequence);

	while (r == 0) {
		r = record_reader_next(reader, &in, NULL);
		if (r == REASON_ALTERED) {
			r = record_reader_skip(reader);
			continue;
		}
		if (r != 0 || ledger_decode(&e, in.data, in.len, s->stream) != 0)
			continue;
		buf_reset(out);
		buf_put(out, e.note, e.note_len);
		*ret_found = true;
	}
	r = r == RECORD_END ? buf_error(out) : r;
	return r < 0 ? FAULT(r) : r;
}

int
spool_last_note(const struct spool *s, struct buf *out)
{
	uint64_t first = record_first_sequence(s->record), next = record_next_sequence(s->record), back = 1;
	bool found = false;
	int r = 0;

	/* Nearly always the very last; farther back only where the end is damaged. */
	while (r == 0 && !found && first < next) {
		r = last_from(s, next - first > back ? next - back : first, out, &found);
		if (next - first <= back)
			break;
		back *= 8;
	}
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return found ? 0 : REASON_NOT_FOUND;
}

void
spool_committed(struct spool *s, uint64_t sequence)
{
	if (sequence > s->committed)
		s->committed = sequence;
}

uint64_t
spool_lost(const struct spool *s, uint64_t *ret_since_us)
{
	*ret_since_us = s->since_us;
	return s->lost;
}
