/* One recording while it is written: recordings.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "remote/recording/recordings_inside.h"

enum {
	EVENT_BYTES_MAX = 32 * 1024, /* of one event's text, as it is written */
	TEXT_BYTES_MAX = 512 * 1024, /* and with what one call may add to it */
};

static int
write_out(struct recording *r, const struct buf *b)
{
	int res = buf_error(b) ?: fs_write_all(r->fd, b->data, b->len);
	struct recordings_entry *e = recordings_find(r->all, r->id, true);

	if (res == 0 && e)
		e->bytes += b->len;
	r->broken = r->broken || res != 0;
	return refuse_full(FAULT(res));
}

/* What waits becomes an event. */
static int
flush(struct recording *r)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(TEXT_BYTES_MAX + 64);

	r->join = loop_cancel(r->join);
	if (r->text.len == 0 || r->broken)
		return 0;
	cast_put_event(&line, r->event_us, 'o', buf_text(&r->text), r->text.len);
	buf_reset(&r->text);
	return write_out(r, &line);
}

static void
on_join(void *arg)
{
	struct recording *r = arg;

	if (flush(r) != 0) /* whoever puts the next part hears of it */
		log_error("recording %s: it can be written no further", r->id);
}

/* Nothing is recorded yet: nothing stays. */
static void
take_back(struct recording *r)
{
	struct recordings_entry *e = recordings_find(r->all, r->id, true);
	char name[RECORDINGS_NAME_MAX];

	if (e)
		recordings_drop(r->all, e);
	(void)unlinkat(r->all->dir_fd, recordings_name(name, r->id, true), 0); /* else the next start does it */
}

int
recordings_begin(struct recordings *all, const char *id, const uint8_t request[32], const char *title,
	uint64_t time_us, struct recording **ret)
{
	SCOPED(recording_abandonp) struct recording *r = calloc(1, sizeof(*r));
	SCOPED(buf_done) struct buf line = BUF_MAX(CAST_LINE_MAX);
	struct cast_header head = { .timestamp = time_us / CLOCK_US_PER_S, .n = all->last + 1 };
	struct recordings_entry *e;
	char name[RECORDINGS_NAME_MAX];
	int res;

	if (!r)
		return FAULT(-ENOMEM);
	*r = (struct recording){ .all = all, .fd = -1, .text = BUF_MAX(TEXT_BYTES_MAX) };
	(void)snprintf(r->id, sizeof(r->id), "%s", id);
	r->begun_us = clock_mono_us();
	r->fd = openat(all->dir_fd, recordings_name(name, id, true), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0600);
	if (r->fd < 0)
		return refuse_full(FAULT(-errno));
	memcpy(head.request, request, sizeof(head.request));
	(void)snprintf(head.id, sizeof(head.id), "%s", id);
	(void)snprintf(head.title, sizeof(head.title), "%s", title);
	cast_put_header(&line, &head);
	e = recordings_add(all, &head);
	if (e)
		e->running = true;
	res = e ? write_out(r, &line) : FAULT(-ENOMEM);
	if (res) {
		take_back(r);
		return res;
	}
	*ret = STEAL(r);
	return 0;
}

int
recording_put(struct recording *r, int stream, const void *p, size_t len)
{
	int res = 0;

	if (r->broken)
		return refuse_full(FAULT(-EIO));
	if (r->text.len == 0)
		r->event_us = clock_mono_us() - r->begun_us;
	res = recording_text_put(&r->streams[stream == 1 ? 0 : 1], p, len, false, &r->text);
	if (res == 0 && r->text.len > EVENT_BYTES_MAX)
		return flush(r);
	if (res == 0 && r->text.len > 0 && !r->join)
		res = loop_after(&r->join, r->all->loop, RECORDING_JOIN_MS, on_join, r);
	r->broken = r->broken || res != 0;
	return FAULT(res);
}

/* The last characters, the marker, and its name for good. */
static int
close_it(struct recording *r, const char *how)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(TEXT_BYTES_MAX), text = BUF_MAX(CAST_TITLE_MAX * 6);
	struct recording_text none = { .n = 0 };
	struct recordings_entry *e;
	int res = 0;

	if (r->text.len == 0)
		r->event_us = clock_mono_us() - r->begun_us;
	for (int i = 0; i < RECORDING_STREAMS && res == 0; i++)
		res = recording_text_put(&r->streams[i], "", 0, true, &r->text);
	res = res ?: flush(r);
	res = res ?: recording_text_put(&none, how, strlen(how), true, &text);
	cast_put_event(&line, clock_mono_us() - r->begun_us, 'm', buf_text(&text), text.len);
	res = res ?: r->broken ? FAULT(-EIO) : write_out(r, &line);
	res = res ?: recordings_settle(r->all, r->fd, r->id);
	if (res)
		return res;
	e = recordings_find(r->all, r->id, false);
	if (e) /* it was another one of the same id: its file is gone */
		recordings_drop(r->all, e);
	e = recordings_find(r->all, r->id, true);
	if (e)
		e->running = false;
	return 0;
}

int
recording_end(struct recording *take_r, const char *how)
{
	SCOPED(recording_abandonp) struct recording *r = take_r;

	return close_it(r, how);
}

struct recording *
recording_abandon(struct recording *r)
{
	if (!r)
		return NULL;
	loop_cancel(r->join);
	scope_close(&r->fd);
	buf_done(&r->text);
	free(r);
	return NULL;
}
