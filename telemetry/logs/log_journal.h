/* The host's journal, as libsystemd reads it: entries of some units, forward from a cursor.
 *
 * Whose an entry is: of the unit whose process wrote it (_SYSTEMD_UNIT), or that systemd itself speaks of (UNIT, of
 * process 1).  Cursors are libsystemd's: they name boot, sequence and time, so that they hold over reboots and over
 * files that were archived; one whose entry was vacuumed leads to the oldest that came after it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "telemetry/logs/log_cursor.h"

struct log_journal;

enum {
	LOG_JOURNAL_IDENTIFIER_MAX = 64,
	LOG_JOURNAL_BOOT = 32,	/* hex digits */
	LOG_JOURNAL_LEVELS = 8, /* as syslog counts them: 0 emergency .. 7 debug */
};

struct log_journal_unit {
	const char *unit; /* "ssh.service" */
	unsigned level;	  /* entries up to this one */
};

struct log_journal_entry {
	size_t unit;	  /* which of those that were asked for */
	const char *text; /* lent until the next call; may hold newlines and any bytes */
	size_t len;
	bool cut;	   /* the rest of it was left out: it is longer than LOG_LINE_MAX */
	uint64_t time_us;  /* when it was written, as the journal vouches for it */
	unsigned priority; /* LOG_JOURNAL_LEVELS: none is given */
	char identifier[LOG_JOURNAL_IDENTIFIER_MAX + 1]; /* its program's, "" where it has none or a longer one */
	char boot[LOG_JOURNAL_BOOT + 1];
	char cursor[LOG_CURSOR_JOURNAL_MAX + 1];
};

/* dir NULL: the host's own.  Returns 0; REASON_NOT_FOUND where there is no journal that may be read (unlogged); or a
 * fault. */
int log_journal_open(struct log_journal **ret, const char *dir);
struct log_journal *log_journal_close(struct log_journal *j);
SCOPED_DESTRUCTOR(struct log_journal, log_journal_close)

/* Entries of these units from now on, and behind the entry of cursor ("": from the oldest).  units are borrowed until
 * the next call.  *ret_gone (NULL: not asked): that entry is not there any more.  Returns 0 or a fault. */
int log_journal_seek(struct log_journal *j, const struct log_journal_unit *units, size_t n,
	const char *cursor, bool *ret_gone);

/* The next.  Returns 0; REASON_NOT_FOUND where there is none yet; REASON_ALTERED for one that cannot be read (it is passed
 * over; both unlogged); or a fault. */
int log_journal_next(struct log_journal *j, struct log_journal_entry *ret);

/* The newest entry of all; "" where there is none.  log_journal_seek() must follow.  Returns 0 or a fault. */
int log_journal_tail(struct log_journal *j, char ret[LOG_CURSOR_JOURNAL_MAX + 1]);

/* So that the last n entries of these units are the next.  Returns 0 or a fault. */
int log_journal_last(struct log_journal *j, const struct log_journal_unit *units, size_t n_units, size_t n);

/* Readable when something changed: then, and before looking by the clock, log_journal_process().
 * Or a fault. */
int log_journal_fd(struct log_journal *j);
void log_journal_process(struct log_journal *j);
