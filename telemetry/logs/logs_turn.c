/* When something is read, and how much at once. */
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "telemetry/logs/log_source.h"
#include "telemetry/logs/log_text.h"
#include "telemetry/logs/logs_room.h"

static void on_timer(void *arg);

void
logs_turn_at(struct logs *l, uint64_t at_us, uint64_t mono_us)
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

void
logs_turn_begin(struct logs *l)
{
	if (log_batch_lines(l->batch) == 0)
		l->batch_us = clock_mono_us();
}

int
logs_turn_end(struct logs *l)
{
	return log_batch_is_full(l->batch) ? logs_keep_write(l) : 0;
}

static int
on_line(const char *text, size_t len, bool cut, void *arg)
{
	struct logs *l = arg;
	struct log_source *s = l->reading;
	const struct log_batch_line line = {
		.text = text, .len = len, .secret_lines = &s->secret_lines, .clean = l->clean
	};

	if (cut)
		l->cut++;
	logs_turn_begin(l);
	return log_batch_add(l->batch, &s->from, &line) ?: logs_turn_end(l);
}

/* Much of what is done for each line is done for many at once here. */
static void
on_piece(const char *p, size_t len, void *arg)
{
	struct logs *l = arg;

	l->clean = log_text_is_clean(p, len);
	if (l->ops->lines)
		l->ops->lines(p, len, l->arg);
}

void
logs_turn_now(struct logs *l)
{
	struct log_now now = { .us = clock_now_us() };
	time_t t = (time_t)(now.us / CLOCK_US_PER_S);
	struct tm tm;

	if (localtime_r(&t, &tm))
		now.zone_s = (int32_t)tm.tm_gmtoff;
	log_batch_now(l->batch, &now);
}

/* One piece of one file. */
static int
read_file(struct logs *l, struct log_source *s, uint64_t mono_us, size_t *ret_read)
{
	const struct log_reading how = {
		.room = l->room, .line = on_line, .piece = on_piece, .arg = l
	};
	int r;

	l->reading = s;
	r = log_source_read(s, &how, mono_us, ret_read);
	if (r == 0 && *ret_read == 0)
		s->dirty = log_source_wants_us(s) > 0;
	return r;
}

/* One piece of each source in turn, the journal behind the files, so that a flood in one leaves the others their
 * share.  Returns 0 with *ret_more where there is more than one turn may read; else as logs_keep_write(). */
static int
read_all(struct logs *l, uint64_t mono_us, bool *ret_more)
{
	size_t spent = 0, quiet = 0, turn, read;
	int r;

	*ret_more = false;
	for (; quiet < l->n + 1; l->next++) {
		turn = l->next % (l->n + 1);
		quiet++;
		if (turn == l->n ? !l->journal_dirty
				 : !l->sources[turn]->allowed || !l->sources[turn]->dirty)
			continue;
		if (spent >= LOGS_TURN_MAX) {
			*ret_more = true;
			return 0;
		}
		r = turn == l->n ? logs_units_read(l, &read)
				 : read_file(l, l->sources[turn], mono_us, &read);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
		spent += read;
		if (read > 0)
			quiet = 0;
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
		logs_turn_at(l, l->batch_us + LOGS_BATCH_MS * CLOCK_US_PER_MS, mono_us);
	for (i = 0; i < l->n; i++) {
		at = log_source_wants_us(l->sources[i]);
		if (at > mono_us)
			logs_turn_at(l, at, mono_us);
	}
}

int
logs_turn_run(struct logs *l, bool drain)
{
	uint64_t mono_us = clock_mono_us();
	bool more = false;
	int r = 0;

	if (mono_us < l->retry_us)
		goto next;
	logs_turn_now(l);
	do
		r = read_all(l, mono_us, &more);
	while (r == 0 && drain && more);
	if (r == 0 && !more && (drain || mono_us >= l->batch_us + LOGS_BATCH_MS * CLOCK_US_PER_MS))
		r = logs_keep_write(l);
	if (r == 0 && !more)
		r = logs_keep_sync(l);
next:
	if (mono_us < l->retry_us)
		logs_turn_at(l, l->retry_us, mono_us);
	else if (more)
		logs_turn_at(l, mono_us, mono_us);
	else
		arm_next(l, mono_us);
	return r < 0 ? FAULT(r) : r;
}

static void
on_timer(void *arg)
{
	struct logs *l = arg;
	int r;

	logs_notice_listen(l);
	r = logs_turn_run(l, false);
	if (r < 0)
		log_fault(r, "reading logs");
}
