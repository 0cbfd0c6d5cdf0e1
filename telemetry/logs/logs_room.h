/* The insides of struct logs, for the files of this room alone.
 *
 *	logs.c          what is followed
 *	logs_turn.c     when something is read, and how much at once
 *	logs_keep.c     how far: batches with their notes, logs.cursor
 *	logs_notice.c   who says that there is something
 *	logs_units.c    the units whose journal is followed */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "telemetry/logs/log_cursor.h"
#include "telemetry/logs/log_journal.h"
#include "telemetry/logs/logs.h"

struct log_source;
struct loop_timer;
struct loop_watch;

enum { LOGS_EXAMPLE_MAX = 511 };

struct logs_unit {
	struct logs_source is; /* texts owned */
	struct log_batch_source from;
	uint64_t key;
	bool known;   /* a former process followed it: it goes on there once there is a journal */
	bool allowed; /* it is followed */
	uint32_t secret_lines;
	char example[LOGS_EXAMPLE_MAX + 1];
	uint64_t example_us; /* boot time: when that was last looked for; 0: never */
};

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
	bool clean; /* what is being read is UTF-8 without NUL, all of it */

	struct logs_unit *units;
	size_t n_units;
	struct log_journal *journal; /* NULL: not open */
	struct log_journal_unit asked[LOGS_UNITS_MAX]; /* for whose entries it looks */
	struct logs_unit *asked_of[LOGS_UNITS_MAX];
	char journal_at[LOG_CURSOR_JOURNAL_MAX + 1]; /* the entry that was read last */
	uint64_t journal_kept_us; /* boot time: when journal_at was last set to the newest of all entries */
	bool journal_dirty, journal_denied;
	uint64_t journal_lost;

	int inotify_fd;
	struct loop_watch *watch, *journal_watch;
	struct loop_timer *timer;
	uint64_t timer_us; /* boot time it is armed for */
	uint64_t batch_us; /* boot time: the first line of the batch */
	uint64_t retry_us; /* boot time: not before, after a record could not be written */
	size_t unsynced;
	uint64_t cut, refused;
};

/* --- logs_keep.c ----------------------------------------------------------------------------------------------- */
/* Write what the batch holds, with everything's places.  Returns 0; spool_write_unsynced()'s reasons or a fault, after
 * which everything was rewound to the last record: what cannot be written is read again later. */
int logs_keep_write(struct logs *l);
int logs_keep_sync(struct logs *l);
/* What is followed changed: from now on logs.cursor says where to go on, until the next record does.  Results as
 * logs_keep_write(). */
int logs_keep_save(struct logs *l);
/* The newer of logs.cursor and the last record's note, into kept.  Returns 0 or a fault. */
int logs_keep_load(struct logs *l);
/* Is this source in kept? */
bool logs_keep_knows(const struct logs *l, uint64_t key, struct log_place *ret);

/* --- logs_turn.c ----------------------------------------------------------------------------------------------- */
/* Let a turn run at this boot time, or earlier. */
void logs_turn_at(struct logs *l, uint64_t at_us, uint64_t mono_us);
/* Read; drain: until nothing is left, and all of it durable.  Returns 0 or a fault. */
int logs_turn_run(struct logs *l, bool drain);
/* Lines that follow were observed now. */
void logs_turn_now(struct logs *l);
/* Before and after a line goes into the batch, which is written where it is full.  Results as logs_keep_write(). */
void logs_turn_begin(struct logs *l);
int logs_turn_end(struct logs *l);

/* --- logs_notice.c --------------------------------------------------------------------------------------------- */
void logs_notice_watch(struct logs *l, struct log_source *s);
void logs_notice_unwatch(struct logs *l, struct log_source *s);
/* Listen from now on (again). */
void logs_notice_listen(struct logs *l);
void logs_notice_journal(struct logs *l);

/* --- logs_units.c ---------------------------------------------------------------------------------------------- */
/* Those of sources that are units; copied.  Returns 0 with *ret_dropped: some were followed and are not any more; or
 * a fault. */
int logs_units_set(struct logs *l, const struct logs_source *sources, size_t n, bool *ret_dropped);
/* Which may leave now; what is new begins behind the newest entry there is.  Returns 0, 1 where what is followed
 * changed, or a fault. */
int logs_units_look(struct logs *l, uint64_t mono_us);
/* Read some.  Returns 0 with *ret_read, bytes (0: there is nothing now); else as logs_keep_write(). */
int logs_units_read(struct logs *l, size_t *ret_read);
/* Append the places of those that are followed, at most n_units. */
size_t logs_units_places(const struct logs *l, struct log_place *out);
/* Back to where kept says. */
void logs_units_rewind(struct logs *l);
void logs_units_done(struct logs *l);
