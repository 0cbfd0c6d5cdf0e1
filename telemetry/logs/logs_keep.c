/* How far everything was read: in the note of each record, and in logs.cursor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "telemetry/logs/log_source.h"
#include "telemetry/logs/logs_room.h"
#include "telemetry/spool/spool.h"

#define CURSOR_NAME "logs.cursor"

enum { RETRY_MS = 5000 };

/* Everything's places as they are now, over *into. */
static int
gather(struct logs *l, struct log_cursor *into)
{
	struct log_place places[LOGS_OLD_MAX + 1];
	struct log_place *files = calloc(LOG_CURSOR_FILES_MAX, sizeof(*files));
	size_t i, n, some;

	if (!files)
		return FAULT(-ENOMEM);
	n = logs_units_places(l, files);
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
	memcpy(into->journal, l->journal_at, sizeof(into->journal));
	return 0;
}

int
logs_keep_sync(struct logs *l)
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
	logs_units_rewind(l);
	l->retry_us = clock_mono_us() + RETRY_MS * CLOCK_US_PER_MS;
}

int
logs_keep_write(struct logs *l)
{
	SCOPED(log_cursor_done) struct log_cursor now = { .generation = l->kept.generation };
	uint64_t sequence;
	int r;

	if (log_batch_lines(l->batch) == 0)
		return 0;
	r = gather(l, &now);
	buf_reset(&l->note);
	log_cursor_put(&l->note, &now);
	r = r ?: buf_error(&l->note);
	if (r == 0 && l->ops->before)
		r = l->ops->before(l->arg);
	r = r ?: log_batch_write(l->batch, l->spool, &l->note, &sequence);
	if (r != 0) {
		l->refused++;
		log_batch_drop(l->batch); /* where it was not tried: its lines come again */
		rewind_all(l);
		return r < 0 ? FAULT(r) : r;
	}
	log_cursor_done(&l->kept);
	l->kept = now;
	now = (struct log_cursor){ 0 };
	l->unsynced++;
	if (l->ops->written)
		l->ops->written(sequence, l->arg);
	return l->unsynced >= LOGS_GROUP ? logs_keep_sync(l) : 0;
}

int
logs_keep_save(struct logs *l)
{
	int r = logs_keep_write(l);

	if (r == 0)
		r = logs_keep_sync(l);
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

int
logs_keep_load(struct logs *l)
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

bool
logs_keep_knows(const struct logs *l, uint64_t key, struct log_place *ret)
{
	size_t i;

	for (i = 0; i < l->kept.n_files; i++)
		if (l->kept.files[i].key == key) {
			*ret = l->kept.files[i];
			return true;
		}
	return false;
}
