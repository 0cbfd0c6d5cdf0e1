/* The units whose journal is followed: one reader and one cursor for all of them.
 *
 * A unit that is new begins behind the newest entry there is.  As the cursor is everybody's, what the others have said
 * until then is read first; only then it moves.  Once an hour it moves there in any case: units that say little would
 * else keep it at an entry that is vacuumed long before the next comes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/logs/log_entry.h"
#include "telemetry/logs/log_file.h"
#include "telemetry/logs/log_source.h"
#include "telemetry/logs/log_text.h"
#include "telemetry/logs/logs_room.h"

#define HOUR_US (3600 * CLOCK_US_PER_S)

enum {
	EXAMPLE_MS = 600 * 1000, /* a unit that waits is asked for one so often */
	PIECE_MAX = 1000,   /* entries at once */
	ADVANCE_TRIES = 16, /* at an end that others push on meanwhile */
};

/* --- one unit ------------------------------------------------------------------------------------------------------ */
static void
done_unit(struct logs_unit *u)
{
	free((char *)u->is.service);
	free((char *)u->is.field);
	free((char *)u->is.dir);
	free((char *)u->is.unit);
	*u = (struct logs_unit){ 0 };
}

static int
new_unit(struct logs *l, struct logs_unit *ret, const struct logs_source *is)
{
	const char level[2] = { (char)('0' + is->level % LOG_JOURNAL_LEVELS), '\0' };
	/* What another level adds is new. */
	struct logs_unit u = { .key = log_source_key(is->field, is->unit, level) };
	struct log_place place;

	u.is = (struct logs_source){ .service = is->service ? strdup(is->service) : NULL,
		.field = strdup(is->field),
		.dir = is->dir ? strdup(is->dir) : NULL,
		.unit = strdup(is->unit),
		.level = is->level };
	if ((is->service && !u.is.service) || !u.is.field || (is->dir && !u.is.dir) || !u.is.unit) {
		done_unit(&u);
		return FAULT(-ENOMEM);
	}
	u.from = (struct log_batch_source){ .service = u.is.service, .field = u.is.field };
	u.known = logs_keep_knows(l, u.key, &place);
	if (u.known)
		u.secret_lines = place.secret_lines;
	*ret = u;
	return 0;
}

static bool
is_followed(const struct logs_unit *u)
{
	return u->allowed || u->known;
}

static bool
any_followed(const struct logs *l)
{
	size_t i;

	for (i = 0; i < l->n_units; i++)
		if (is_followed(&l->units[i]))
			return true;
	return false;
}

void
logs_units_done(struct logs *l)
{
	while (l->n_units > 0)
		done_unit(&l->units[--l->n_units]);
	free(l->units);
	l->units = NULL;
	l->journal_watch = loop_unwatch(l->journal_watch);
	l->journal = log_journal_close(l->journal);
}

size_t
logs_units_places(const struct logs *l, struct log_place *out)
{
	size_t i, n = 0;

	for (i = 0; i < l->n_units; i++)
		if (is_followed(&l->units[i]))
			out[n++] = (struct log_place){ .key = l->units[i].key,
				.secret_lines = l->units[i].secret_lines };
	return n;
}

/* --- where the reader stands --------------------------------------------------------------------------------------- */
/* At journal_at, for those that may leave. */
static int
seek(struct logs *l, bool *ret_gone)
{
	size_t i, n = 0;

	for (i = 0; i < l->n_units; i++)
		if (l->units[i].allowed) {
			l->asked[n] = (struct log_journal_unit){ .unit = l->units[i].is.unit,
				.level = l->units[i].is.level };
			l->asked_of[n++] = &l->units[i];
		}
	l->journal_dirty = n > 0;
	if (n == 0)
		return 0;
	return FAULT(log_journal_seek(l->journal, l->asked, n, l->journal_at, ret_gone));
}

void
logs_units_rewind(struct logs *l)
{
	struct log_place place;
	size_t i;
	int r;

	memcpy(l->journal_at, l->kept.journal, sizeof(l->journal_at));
	for (i = 0; i < l->n_units; i++)
		if (logs_keep_knows(l, l->units[i].key, &place))
			l->units[i].secret_lines = place.secret_lines;
		else /* kept is from before it began: it begins again */
			l->units[i].allowed = false;
	r = l->journal ? seek(l, NULL) : 0;
	if (r < 0)
		log_fault(r, "going back in the journal");
}

/* The same one of before goes on as it was. */
static void
take_over(struct logs *l, struct logs_unit *u)
{
	size_t i;

	for (i = 0; i < l->n_units; i++) {
		struct logs_unit *was = &l->units[i];

		if (!was->is.unit || was->key != u->key)
			continue;
		u->allowed = was->allowed;
		u->known = was->known;
		u->secret_lines = was->secret_lines;
		done_unit(was);
		return;
	}
}

int
logs_units_set(struct logs *l, const struct logs_source *sources, size_t n, bool *ret_dropped)
{
	struct logs_unit *units = calloc(LOGS_UNITS_MAX, sizeof(*units));
	size_t n_units = 0, i;
	int r = 0;

	*ret_dropped = false;
	if (!units)
		return FAULT(-ENOMEM);
	for (i = 0; r == 0 && i < n && n_units < LOGS_UNITS_MAX; i++) {
		if (!sources[i].unit)
			continue;
		r = new_unit(l, &units[n_units], &sources[i]);
		if (r == 0)
			take_over(l, &units[n_units++]);
	}
	for (i = 0; i < l->n_units; i++) {
		*ret_dropped = *ret_dropped || (l->units[i].is.unit && is_followed(&l->units[i]));
		done_unit(&l->units[i]);
	}
	free(l->units);
	l->units = units;
	l->n_units = n_units;
	if (!any_followed(l))
		l->journal_at[0] = '\0';
	if (r == 0 && l->journal)
		r = seek(l, NULL); /* it pointed at the former */
	return r < 0 ? FAULT(r) : 0;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */
static int
add_entry(struct logs *l, const struct log_journal_entry *e)
{
	struct logs_unit *u = l->asked_of[e->unit];

	if (e->cut)
		l->cut++;
	memcpy(l->journal_at, e->cursor, sizeof(l->journal_at));
	logs_turn_begin(l);
	return log_entry_add(l->batch, &u->from, e, &u->secret_lines, l->ops->redact, l->arg)
		?: logs_turn_end(l);
}

int
logs_units_read(struct logs *l, size_t *ret_read)
{
	struct log_journal_entry e;
	size_t n;
	int r = 0;

	*ret_read = 0;
	for (n = 0; r == 0 && n < PIECE_MAX && *ret_read < LOG_LINE_MAX; n++) {
		r = log_journal_next(l->journal, &e);
		if (r == REASON_NOT_FOUND) {
			l->journal_dirty = false;
			return 0;
		}
		if (r == REASON_ALTERED) {
			l->journal_lost++;
			r = 0;
		} else if (r == 0) {
			*ret_read += e.len + 1;
			r = add_entry(l, &e);
		}
	}
	return r < 0 ? FAULT(r) : r;
}

/* Read what came until now, and let the cursor be the newest entry there is: nothing came between reading to the end
 * and looking which that is.  Returns 0 with *ret_done; else as logs_keep_write(). */
static int
advance(struct logs *l, uint64_t mono_us, bool *ret_done)
{
	char tail[LOG_CURSOR_JOURNAL_MAX + 1], before[LOG_CURSOR_JOURNAL_MAX + 1] = "none";
	size_t read, tries;
	int r = 0;

	*ret_done = false;
	logs_turn_now(l);
	for (tries = 0; r == 0 && tries < ADVANCE_TRIES; tries++) {
		r = log_journal_tail(l->journal, tail);
		if (r == 0 && strcmp(tail, before) == 0) {
			memcpy(l->journal_at, tail, sizeof(l->journal_at));
			l->journal_kept_us = mono_us;
			*ret_done = true;
			break;
		}
		memcpy(before, tail, sizeof(before));
		r = r ?: seek(l, NULL);
		while (r == 0 && l->journal_dirty)
			r = logs_units_read(l, &read);
	}
	/* The reader stands at the tail of all now. */
	if (r == 0)
		r = seek(l, NULL);
	return r < 0 ? FAULT(r) : r;
}

/* --- what may leave -------------------------------------------------------------------------------------------------- */
/* What it said last, redacted as a whole and then cut. */
static void
find_example(struct logs *l, struct logs_unit *u, uint64_t mono_us)
{
	SCOPED(log_journal_closep) struct log_journal *j = NULL;
	SCOPED(buf_done) struct buf clean = BUF_MAX(LOG_BATCH_LINE_MAX), out = BUF_MAX(LOG_BATCH_LINE_MAX);
	const struct log_journal_unit unit = { u->is.unit, u->is.level };
	struct log_journal_entry e;
	uint32_t secret_lines = 0;

	if (u->example_us > 0 && mono_us < u->example_us + EXAMPLE_MS * CLOCK_US_PER_MS)
		return;
	u->example_us = mono_us;
	if (log_journal_open(&j, u->is.dir) != 0 || log_journal_last(j, &unit, 1, 1) != 0 ||
		log_journal_next(j, &e) != 0)
		return;
	(void)log_text_clean(&clean, e.text, e.len);
	if (buf_error(&clean) == 0 &&
		l->ops->redact(&secret_lines, clean.data, clean.len, &out, l->arg) == 0)
		(void)snprintf(u->example, sizeof(u->example), "%s", buf_text(&out));
}

static bool
may(struct logs *l, struct logs_unit *u, uint64_t mono_us)
{
	if (!is_followed(u))
		find_example(l, u, mono_us);
	return l->ops->may(&u->is, is_followed(u) ? "" : u->example, l->arg);
}

/* Returns 0, REASON_NOT_FOUND where there is none that may be read (said once), or a fault. */
static int
open_journal(struct logs *l)
{
	const char *dir = l->units[0].is.dir;
	int r;

	if (l->journal)
		return 0;
	r = log_journal_open(&l->journal, dir);
	if (r == REASON_NOT_FOUND && !l->journal_denied)
		log_warning("there is no journal in %s that the collector may read: is its user in group "
			    "systemd-journal?",
			dir ? dir : "/var/log/journal or /run/log/journal");
	l->journal_denied = r == REASON_NOT_FOUND;
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	logs_notice_journal(l);
	return 0;
}

/* Those that a former process followed go on where it ended.  Returns 0 or a fault. */
static int
go_on(struct logs *l)
{
	bool gone = false, some = false;
	size_t i;
	int r;

	for (i = 0; i < l->n_units; i++) {
		some = some || l->units[i].known;
		l->units[i].allowed = l->units[i].allowed || l->units[i].known;
		l->units[i].known = false;
	}
	if (!some)
		return 0;
	r = seek(l, &gone);
	if (r == 0 && gone) {
		l->journal_lost++;
		log_warning("the journal was vacuumed beyond what was read of it: lines may be lost");
	}
	return FAULT(r);
}

/* What each may now.  Returns whether any may; *ret_changed: one may no more. */
static bool
ask(struct logs *l, bool wanted[LOGS_UNITS_MAX], uint64_t mono_us, bool *ret_changed)
{
	bool any = false;
	size_t i;

	*ret_changed = false;
	for (i = 0; i < l->n_units; i++) {
		struct logs_unit *u = &l->units[i];

		wanted[i] = may(l, u, mono_us);
		any = any || wanted[i];
		if (!wanted[i] && is_followed(u)) {
			u->allowed = u->known = false;
			*ret_changed = true;
		}
	}
	if (!any_followed(l))
		l->journal_at[0] = '\0';
	return any;
}

/* Those that may and are not followed yet begin now. */
static int
begin_new(struct logs *l, const bool wanted[LOGS_UNITS_MAX], bool *ret_done)
{
	size_t i;

	for (i = 0; i < l->n_units; i++)
		l->units[i].allowed = wanted[i];
	*ret_done = true;
	return FAULT(seek(l, NULL));
}

static bool
any_new(const struct logs *l, const bool wanted[LOGS_UNITS_MAX])
{
	size_t i;

	for (i = 0; i < l->n_units; i++)
		if (wanted[i] && !l->units[i].allowed)
			return true;
	return false;
}

int
logs_units_look(struct logs *l, uint64_t mono_us)
{
	bool wanted[LOGS_UNITS_MAX], changed, done = false, behind = l->journal_dirty;
	int r;

	if (!ask(l, wanted, mono_us, &changed)) {
		l->journal_watch = loop_unwatch(l->journal_watch);
		l->journal = log_journal_close(l->journal);
		l->journal_dirty = false;
		return changed;
	}
	r = open_journal(l);
	if (r != 0)
		return r < 0 ? FAULT(r) : changed;
	log_journal_process(l->journal);
	r = go_on(l);
	if (r == 0 && changed)
		r = seek(l, NULL);
	l->journal_dirty = any_followed(l);
	if (r == 0 && (any_new(l, wanted) || (!behind && mono_us >= l->journal_kept_us + HOUR_US)))
		r = advance(l, mono_us, &done);
	/* Where the stream does not take what is older, what is new waits. */
	if (r == 0 && done)
		r = begin_new(l, wanted, &changed);
	return r < 0 ? FAULT(r) : changed;
}
