#include "telemetry/logs/logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "telemetry/logs/log_source.h"
#include "telemetry/logs/logs_room.h"
#include "telemetry/spool/spool.h"

/* --- what is followed ---------------------------------------------------------------------------------------------- */
static bool
may(struct logs *l, struct log_source *s)
{
	SCOPED(buf_done) struct buf example = BUF_MAX(LOG_BATCH_LINE_MAX);
	char last[LOGS_EXAMPLE_MAX + 1];
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
			logs_notice_unwatch(l, s);
			log_source_end(s);
		}
		return was;
	}
	if (s->watch < 0)
		logs_notice_watch(l, s);
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
	r = logs_units_look(l, mono_us);
	if (r < 0)
		log_fault(r, "looking at the journal");
	changed = changed || r == 1;
	r = changed ? logs_keep_save(l) : 0;
	if (r < 0)
		log_fault(r, "keeping how far logs were read");
	logs_turn_at(l, mono_us, mono_us);
}

int
logs_drain(struct logs *l)
{
	return logs_turn_run(l, true);
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

/* The files among sources. */
static int
set_files(struct logs *l, const struct logs_source *sources, size_t n, bool *ret_dropped)
{
	struct log_source *was[LOGS_MAX];
	size_t n_was = l->n, i;
	int r = 0;

	*ret_dropped = false;
	memcpy(was, l->sources, n_was * sizeof(was[0]));
	for (l->n = 0, i = 0; r == 0 && i < n; i++) {
		if (sources[i].unit)
			continue;
		l->sources[l->n] = take(&sources[i], was, n_was);
		if (!l->sources[l->n])
			r = log_source_new(&l->sources[l->n], &sources[i]);
		if (r == 0)
			l->n++;
	}
	for (i = 0; i < n_was; i++)
		if (was[i]) {
			logs_notice_unwatch(l, was[i]);
			*ret_dropped = true;
			log_source_free(was[i]);
		}
	return FAULT(r);
}

int
logs_set(struct logs *l, const struct logs_source *sources, size_t n)
{
	bool files = false, units = false;
	int r = logs_keep_write(l); /* it points at sources */

	if (r < 0) /* what it held is read again */
		log_fault(r, "writing logs");
	r = 0;
	if (n > LOGS_MAX) {
		log_warning("%zu logs are more than %d: the last are left out", n, LOGS_MAX);
		n = LOGS_MAX;
	}
	if (n > 0 && !l->room)
		l->room = malloc(LOG_LINE_MAX);
	if (n > 0 && !l->room)
		r = -ENOMEM;
	r = r ?: set_files(l, sources, n, &files);
	r = r ?: logs_units_set(l, sources, n, &units);
	if (r == 0 && (files || units))
		r = logs_keep_save(l);
	if (r < 0)
		return FAULT(r);
	logs_look(l);
	return 0;
}

void
logs_site(struct logs *l, const char *site)
{
	int r = logs_keep_write(l);

	if (r < 0)
		log_fault(r, "writing logs");
	log_batch_site(l->batch, site);
}

void
logs_counted(const struct logs *l, struct logs_count *ret)
{
	size_t i;

	*ret = (struct logs_count){
		.batch = *log_batch_counted(l->batch),
		.denied = l->journal_denied,
		.cut = l->cut,
		.lost = l->journal_lost,
		.refused = l->refused,
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
	r = r ?: logs_keep_load(l);
	if (r < 0)
		return FAULT(r);
	l->loaded = true;
	memcpy(l->journal_at, l->kept.journal, sizeof(l->journal_at));
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
	logs_units_done(l);
	scope_close(&l->inotify_fd);
	log_batch_free(l->batch);
	log_cursor_done(&l->kept);
	buf_done(&l->note);
	free(l->room);
	sd_event_unref(l->loop);
	free(l);
	return NULL;
}
