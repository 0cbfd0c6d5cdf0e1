#include "telemetry/logs/logs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/logs/log_cursor.h"
#include "telemetry/logs/log_source.h"
#include "telemetry/spool/spool.h"

#define CURSOR_NAME "logs.cursor"

enum { RETRY_MS = 5000, EXAMPLE_MAX = 512 };

struct logs {
	sd_event *loop;
	int dir_fd; /* borrowed */
	struct spool *spool;
	const struct logs_ops *ops;
	void *arg;
	struct log_batch *batch;
	struct log_source *sources[LOGS_MAX];
	size_t n, next; /* next: whose turn it is */
	struct log_cursor
		kept; /* as the newest record, or logs.cursor, says: what a failed write goes back to */
	bool loaded; /* kept is from the disk: sources that are met for the first time may be in it */
	struct buf note;
	char *room; /* LOG_LINE_MAX, while there are sources */
	struct log_source *reading;
	int inotify_fd;
	struct loop_watch *watch;
	struct loop_timer *timer;
	uint64_t timer_us; /* boot time it is armed for */
	uint64_t batch_us; /* boot time: the first line of the batch */
	uint64_t retry_us; /* boot time: not before, after a record could not be written */
	size_t unsynced;
	uint64_t cut, refused;
};

static void on_timer(void *arg);

static void
arm(struct logs *l, uint64_t at_us, uint64_t mono_us)
{
	int r;

	if (l->timer && l->timer_us <= at_us)
		return;
	l->timer_us = at_us;
	r = loop_after(&l->timer, l->loop,
		at_us > mono_us ? (at_us - mono_us + CLOCK_US_PER_MS - 1) / CLOCK_US_PER_MS : 0,
		on_timer, l);
	if (r < 0)
		log_fault(r, "arming the timer of logs");
}

/* --- how far ------------------------------------------------------------------------------------------------- */
/* Everything's places as they are now, over kept. */
static int
gather(struct logs *l, struct log_cursor *into)
{
	struct log_place places[LOGS_OLD_MAX + 1];
	struct log_place *files = calloc(LOG_CURSOR_FILES_MAX, sizeof(*files));
	size_t i, n = 0, some;

	if (!files)
		return FAULT(-ENOMEM);
	for (i = 0; i < l->n; i++) {
		some = log_source_places(l->sources[i], places);
		/* Sources are half as many: only renamed files that are still read could not fit, the newest stays. */
		if (some > LOG_CURSOR_FILES_MAX - n) {
			places[0] = places[some - 1];
			some = LOG_CURSOR_FILES_MAX > n;
		}
		memcpy(files + n, places, some * sizeof(*files));
		n += some;
	}
	free(into->files);
	into->files = files;
	into->n_files = n;
	return 0;
}

static int
put_note(struct logs *l, struct log_cursor *now)
{
	*now = (struct log_cursor){ .generation = l->kept.generation };
	memcpy(now->journal, l->kept.journal, sizeof(now->journal));
	return gather(l, now);
}

static int
sync_spool(struct logs *l)
{
	int r;

	if (l->unsynced == 0)
		return 0;
	r = spool_sync(l->spool);
	if (r < 0)
		return FAULT(r);
	l->unsynced = 0;
	return 0;
}

static void
rewind_all(struct logs *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		log_source_rewind(l->sources[i], l->kept.files, l->kept.n_files);
	l->retry_us = clock_mono_us() + RETRY_MS * CLOCK_US_PER_MS;
}

/* What cannot be written is read again later: the files hold it meanwhile. */
static int
write_batch(struct logs *l)
{
	SCOPED(log_cursor_done) struct log_cursor now = { 0 };
	uint64_t sequence;
	int r;

	if (log_batch_lines(l->batch) == 0)
		return 0;
	r = put_note(l, &now);
	buf_reset(&l->note);
	log_cursor_put(&l->note, &now);
	r = r ?: buf_error(&l->note);
	if (r == 0 && l->ops->before)
		l->ops->before(l->arg);
	r = r ?: log_batch_write(l->batch, l->spool, &l->note, &sequence);
	if (r != 0) {
		l->refused++;
		rewind_all(l);
		return r < 0 ? FAULT(r) : r;
	}
	log_cursor_done(&l->kept);
	l->kept = now;
	now = (struct log_cursor){ 0 };
	l->unsynced++;
	if (l->ops->written)
		l->ops->written(sequence, l->arg);
	return l->unsynced >= LOGS_GROUP ? sync_spool(l) : 0;
}

/* What is followed changed: from now on this file says where to go on, until the next record does. */
static int
save_cursor(struct logs *l)
{
	int r = write_batch(l);

	if (r == 0)
		r = sync_spool(l);
	if (r == 0)
		r = gather(l, &l->kept);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	l->kept.generation++;
	buf_reset(&l->note);
	log_cursor_put(&l->note, &l->kept);
	r = buf_error(&l->note);
	return FAULT(r ?: fs_replace(l->dir_fd, CURSOR_NAME, l->note.data, l->note.len, 0600));
}

/* The newer of logs.cursor and the last record's note. */
static int
load_cursor(struct logs *l)
{
	SCOPED(log_cursor_done) struct log_cursor note = { 0 };
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_NOTE_MAX);
	int r;

	r = fs_read(l->dir_fd, CURSOR_NAME, LOG_CURSOR_BYTES_MAX, &in);
	if (r == 0)
		r = log_cursor_read(&l->kept, in.data, in.len, CURSOR_NAME);
	else if (r != REASON_NOT_FOUND && r > 0)
		r = REFUSE(r, CURSOR_NAME, "cannot be read: logs go on from their ends");
	if (r < 0)
		return FAULT(r);
	buf_reset(&in);
	r = spool_last_note(l->spool, &in);
	if (r == 0 && in.len > 0)
		r = log_cursor_read(&note, in.data, in.len, "the newest record of stream logs");
	if (r < 0)
		return FAULT(r);
	if (note.n_files > 0 && note.generation >= l->kept.generation) {
		log_cursor_done(&l->kept);
		l->kept = note;
		note = (struct log_cursor){ 0 };
	}
	return 0;
}

/* --- reading --------------------------------------------------------------------------------------------------- */
static int
on_line(const char *line, size_t len, bool cut, void *arg)
{
	struct logs *l = arg;
	struct log_source *s = l->reading;
	int r;

	if (cut)
		l->cut++;
	if (log_batch_lines(l->batch) == 0)
		l->batch_us = clock_mono_us();
	r = log_batch_add(l->batch, &s->from,
		&(struct log_batch_line){
			.text = line, .len = len, .secret_lines = &s->secret_lines });
	if (r == 0 && log_batch_is_full(l->batch))
		r = write_batch(l);
	return r;
}

static void
set_now(struct logs *l)
{
	struct log_now now = { .us = clock_now_us() };
	time_t t = (time_t)(now.us / CLOCK_US_PER_S);
	struct tm tm;

	if (localtime_r(&t, &tm))
		now.zone_s = (int32_t)tm.tm_gmtoff;
	log_batch_now(l->batch, &now);
}

/* One piece of each source in turn, so that a flood in one leaves the others their share.  Returns 0 with
 * *ret_more where there is more than one turn may read; else as write_batch(). */
static int
read_all(struct logs *l, uint64_t mono_us, bool *ret_more)
{
	const struct log_reading how = { .room = l->room, .line = on_line, .arg = l };
	size_t spent = 0, quiet = 0, read;
	struct log_source *s;
	int r;

	*ret_more = false;
	for (; quiet < l->n; l->next++) {
		s = l->reading = l->sources[l->next % l->n];
		quiet++;
		if (!s->allowed || !s->dirty)
			continue;
		if (spent >= LOGS_TURN_MAX) {
			*ret_more = true;
			return 0;
		}
		r = log_source_read(s, &how, mono_us, &read);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
		spent += read;
		if (read > 0)
			quiet = 0;
		else
			s->dirty = log_source_wants_us(s) > 0;
	}
	return 0;
}

/* When to look again: a batch that waits, a line that may be continued. */
static void
arm_next(struct logs *l, uint64_t mono_us)
{
	uint64_t at;
	size_t i;

	if (log_batch_lines(l->batch) > 0)
		arm(l, l->batch_us + LOGS_BATCH_MS * CLOCK_US_PER_MS, mono_us);
	for (i = 0; i < l->n; i++) {
		at = log_source_wants_us(l->sources[i]);
		if (at > mono_us)
			arm(l, at, mono_us);
	}
}

static int
turn(struct logs *l, bool drain)
{
	uint64_t mono_us = clock_mono_us();
	bool more = false;
	int r = 0;

	if (l->n == 0 || mono_us < l->retry_us)
		goto next;
	set_now(l);
	do
		r = read_all(l, mono_us, &more);
	while (r == 0 && drain && more);
	if (r == 0 && !more && (drain || mono_us >= l->batch_us + LOGS_BATCH_MS * CLOCK_US_PER_MS))
		r = write_batch(l);
	if (r == 0 && !more)
		r = sync_spool(l);
next:
	if (mono_us < l->retry_us)
		arm(l, l->retry_us, mono_us);
	else if (more)
		arm(l, mono_us, mono_us);
	else
		arm_next(l, mono_us);
	return r < 0 ? FAULT(r) : r;
}

static void
on_timer(void *arg)
{
	struct logs *l = arg;
	int r;

	if (l->watch)
		loop_watch_events(l->watch, EPOLLIN);
	r = turn(l, false);
	if (r < 0)
		log_fault(r, "reading logs");
}

int
logs_drain(struct logs *l)
{
	return turn(l, true);
}

/* --- what inotify tells ------------------------------------------------------------------------------------------ */
static void
mark(struct logs *l, int wd, bool named)
{
	uint64_t mono_us = clock_mono_us();
	size_t i;
	int r;

	for (i = 0; i < l->n; i++) {
		struct log_source *s = l->sources[i];

		if (!s->allowed || (wd >= 0 && s->watch != wd))
			continue;
		s->dirty = true;
		r = named ? log_source_look(s, mono_us) : 0;
		if (r < 0)
			log_fault(r, "looking at a log");
	}
}

/* One wake-up for all that happens within LOGS_GATHER_MS: until then nobody listens. */
static void
on_inotify(uint32_t revents, void *arg)
{
	_Alignas(struct inotify_event) char room[4096];
	struct logs *l = arg;
	uint64_t mono_us = clock_mono_us();
	const struct inotify_event *e;
	ssize_t n, at;

	(void)revents;
	while ((n = read(l->inotify_fd, room, sizeof(room))) > 0)
		for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const struct inotify_event *)(room + at);
			mark(l, e->mask & IN_Q_OVERFLOW ? -1 : e->wd,
				!!(e->mask & ~(uint32_t)IN_MODIFY));
		}
	loop_watch_events(l->watch, 0);
	arm(l, mono_us + LOGS_GATHER_MS * CLOCK_US_PER_MS, mono_us);
}

/* Watches are only quicker than logs_look(): where none can be had, that has to do. */
static void
watch(struct logs *l, struct log_source *s)
{
	char path[PATH_MAX], *slash;

	if (l->inotify_fd < 0) {
		l->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (l->inotify_fd < 0 ||
			loop_watch(&l->watch, l->loop, l->inotify_fd, EPOLLIN, on_inotify, l) < 0)
			return;
	}
	if (snprintf(path, sizeof(path), "%s/%s", s->is.dir, s->is.file) >= (int)sizeof(path))
		return;
	slash = strrchr(path, '/');
	*slash = '\0';
	s->watch = inotify_add_watch(l->inotify_fd, path,
		IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW);
}

/* Two sources of one folder have one watch. */
static void
unwatch(struct logs *l, struct log_source *s)
{
	size_t i;

	for (i = 0; i < l->n && s->watch >= 0; i++)
		if (l->sources[i] != s && l->sources[i]->watch == s->watch)
			s->watch = -1;
	if (s->watch >= 0)
		(void)inotify_rm_watch(l->inotify_fd, s->watch);
	s->watch = -1;
}

/* --- what is followed ---------------------------------------------------------------------------------------------- */
static bool
may(struct logs *l, struct log_source *s)
{
	SCOPED(buf_done) struct buf example = BUF_MAX(LOG_BATCH_LINE_MAX);
	char last[EXAMPLE_MAX];
	uint32_t secret_lines = 0;
	size_t len;

	if (!s->allowed) {
		len = log_source_example(s, last, sizeof(last));
		if (l->ops->redact(&secret_lines, last, len, &example, l->arg) < 0)
			buf_reset(&example);
	}
	return l->ops->may(&s->is, buf_text(&example), l->arg);
}

/* Returns 0, 1 where what is followed changed, or a fault. */
static int
look_at(struct logs *l, struct log_source *s, uint64_t mono_us)
{
	bool was = s->allowed;
	int r;

	s->allowed = may(l, s);
	if (!s->allowed) {
		if (was) {
			unwatch(l, s);
			log_source_end(s);
		}
		return was;
	}
	if (s->watch < 0)
		watch(l, s);
	if (was)
		return FAULT(log_source_look(s, mono_us));
	r = log_source_begin(s, l->loaded ? l->kept.files : NULL, l->loaded ? l->kept.n_files : 0);
	return r < 0 ? FAULT(r) : 1;
}

void
logs_look(struct logs *l)
{
	uint64_t mono_us = clock_mono_us();
	bool changed = false;
	size_t i;
	int r;

	for (i = 0; i < l->n; i++) {
		/* What was read of a source that may not leave any more has been read while it might. */
		r = look_at(l, l->sources[i], mono_us);
		if (r < 0)
			log_fault(r, "looking at a log");
		changed = changed || r == 1;
	}
	if (l->n > 0)
		l->loaded = false;
	r = changed ? save_cursor(l) : 0;
	if (r < 0)
		log_fault(r, "keeping how far logs were read");
	arm(l, mono_us, mono_us);
}

static struct log_source *
take(const struct logs_source *is, struct log_source **from, size_t n)
{
	struct log_source *s;
	size_t i;

	for (i = 0; i < n; i++)
		if (from[i] && log_source_is(from[i], is)) {
			s = from[i];
			from[i] = NULL;
			return s;
		}
	return NULL;
}

int
logs_set(struct logs *l, const struct logs_source *sources, size_t n)
{
	struct log_source *was[LOGS_MAX];
	size_t n_was = l->n, i;
	bool dropped = false;
	int r = write_batch(l); /* it points at sources */

	if (r < 0) /* what it held is read again */
		log_fault(r, "writing logs");
	r = 0;
	if (n > LOGS_MAX) {
		log_warning("%zu logs are more than %d: the last are left out", n, LOGS_MAX);
		n = LOGS_MAX;
	}
	if (n > 0 && !l->room)
		l->room = malloc(LOG_LINE_MAX);
	if (r == 0 && n > 0 && !l->room)
		r = -ENOMEM;
	memcpy(was, l->sources, n_was * sizeof(was[0]));
	for (l->n = 0; r == 0 && l->n < n; l->n++) {
		l->sources[l->n] = take(&sources[l->n], was, n_was);
		if (!l->sources[l->n])
			r = log_source_new(&l->sources[l->n], &sources[l->n]);
		if (r < 0)
			break;
	}
	for (i = 0; i < n_was; i++)
		if (was[i]) {
			unwatch(l, was[i]);
			dropped = true;
			log_source_free(was[i]);
		}
	if (r == 0 && dropped)
		r = save_cursor(l);
	if (r < 0)
		return FAULT(r);
	logs_look(l);
	return 0;
}

void
logs_site(struct logs *l, const char *site)
{
	int r = write_batch(l);

	if (r < 0)
		log_fault(r, "writing logs");
	log_batch_site(l->batch, site);
}

void
logs_counted(const struct logs *l, struct logs_count *ret)
{
	size_t i;

	*ret = (struct logs_count){
		.batch = *log_batch_counted(l->batch), .cut = l->cut, .refused = l->refused
	};
	for (i = 0; i < l->n; i++) {
		ret->files += l->sources[i]->file.fd >= 0;
		ret->denied += l->sources[i]->denied;
		ret->lost += l->sources[i]->lost;
	}
}

/* --- life ------------------------------------------------------------------------------------------------------------- */
int
logs_new(struct logs **ret, sd_event *loop, int dir_fd, struct spool *spool,
	const struct logs_ops *ops, void *arg)
{
	SCOPED(logs_freep) struct logs *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return FAULT(-ENOMEM);
	l->inotify_fd = -1;
	l->loop = sd_event_ref(loop);
	l->dir_fd = dir_fd;
	l->spool = spool;
	l->ops = ops;
	l->arg = arg;
	l->note = BUF_MAX(LEDGER_NOTE_MAX);
	r = log_batch_new(&l->batch, ops->redact, arg);
	r = r ?: load_cursor(l);
	if (r < 0)
		return FAULT(r);
	l->loaded = true;
	*ret = STEAL(l);
	return 0;
}

struct logs *
logs_free(struct logs *l)
{
	size_t i;

	if (!l)
		return NULL;
	loop_cancel(l->timer);
	loop_unwatch(l->watch);
	for (i = 0; i < l->n; i++)
		log_source_free(l->sources[i]);
	scope_close(&l->inotify_fd);
	log_batch_free(l->batch);
	log_cursor_done(&l->kept);
	buf_done(&l->note);
	free(l->room);
	sd_event_unref(l->loop);
	free(l);
	return NULL;
}
