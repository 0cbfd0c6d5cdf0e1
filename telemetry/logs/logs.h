/* The logs of a site: files that are followed, and the journal.
 *
 * A source is one name in one folder.  It is followed by inotify (one watch for each folder) and, for what inotify
 * does not see, by logs_look(), which the collector calls once a period.  Renamed files are read to their end before
 * the new one; a file that was cut is read on in NAME.1 where that is its copy, else what was lost is counted as one
 * loss.  Where to go on stands in the note of each record of stream "logs", so that after kill -9 or a power cut no
 * line is lost and none doubled; and in DIR/logs.cursor, rewritten when what is followed changes.
 *
 * The journal is one more source with one cursor (libsystemd's) for all units; what of it was vacuumed while nobody
 * read is counted as one loss.
 *
 * Nothing is read of a source that may not leave: when it may, it begins at the end of what there is.  A file that
 * appears later begins at 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "telemetry/logs/log_batch.h"
#include "telemetry/logs/log_format.h"

struct logs;
struct spool;

enum {
	LOGS_MAX = 512,	  /* sources */
	LOGS_OLD_MAX = 3, /* renamed files of one source that are still being read */
	LOGS_TURN_MAX =
		4 * 1024 * 1024, /* bytes of one turn, after which the loop's other work runs */
	LOGS_GATHER_MS = 200, /* from a change in a folder to reading: one wake-up for many lines */
	LOGS_BATCH_MS = 1000, /* a batch waits no longer for more */
	LOGS_GROUP = 8,	      /* batches that are made durable together */
	LOGS_JOIN_MS = 1000,  /* a line that the next might continue waits so long */
	LOGS_PARTIAL_MS = 30000, /* the same for one without its end */
	LOGS_JOURNAL_MS = 1000,	 /* from a change in the journal to reading it */
	LOGS_UNITS_MAX = 64,	 /* of LOGS_MAX sources */
};

struct logs_source {
	const char *service;	/* NULL: the host itself */
	const char *field;	/* "log.redis.redis" */
	const char *dir, *file; /* absolute; beneath it */
	enum log_format format;
	/* Not NULL: no file but what this unit says in the journal, up to a level of syslog (7: all of it).  dir: the
	 * journal's folder, of the first unit for all; NULL: the host's own.  file NULL. */
	const char *unit;
	unsigned level;
};

struct logs_ops {
	log_redact_fn *redact;
	/* The lines that redact gets next stand in these bytes, one after the other; NULL, 0: no more of them do.  For what
	 * can look at many of them at once; may be NULL. */
	void (*lines)(const void *p, size_t len, void *arg);
	/* May lines of this field leave?  example: the last line there is, redacted, or "". */
	bool (*may)(const struct logs_source *source, const char *example, void *arg);
	/* A record is about to be written: what its lines were rewritten with is made durable first.  Returns 0, or a fault:
	 * then it is not written, and its lines are read again later.  May be NULL. */
	int (*before)(void *arg);
	/* A record lies in the stream; may be NULL. */
	void (*written)(uint64_t sequence, void *arg);
};

struct logs_count {
	struct log_batch_count batch;
	uint64_t files;	 /* followed now */
	uint64_t denied; /* sources that may not be read, now */
	uint64_t cut;	 /* lines that were longer than LOG_LINE_MAX */
	uint64_t lost;	 /* times that a file was cut or taken away before it was read to its end, or the journal vacuumed */
	uint64_t refused; /* batches that the stream did not take */
};

/* dir_fd (holds logs.cursor), spool and ops are borrowed and outlive it.  Returns 0, what makes logs.cursor or the
 * note unreadable is logged and passed over; or a fault. */
int logs_new(struct logs **ret, sd_event *loop, int dir_fd, struct spool *spool,
	const struct logs_ops *ops, void *arg);
/* What was read and not yet written is read again by the next. */
struct logs *logs_free(struct logs *l);
SCOPED_DESTRUCTOR(struct logs, logs_free)

/* Who speaks; copied. */
void logs_site(struct logs *l, const char *site);

/* Follow these, and no others; copied.  Sources over LOGS_MAX are logged and left out.  Returns 0 or a fault. */
int logs_set(struct logs *l, const struct logs_source *sources, size_t n);

/* Look at every source: what may leave now, what appeared, what grew. */
void logs_look(struct logs *l);

/* Read and write everything that is there now, without the loop; durable when it returns. */
int logs_drain(struct logs *l);

void logs_counted(const struct logs *l, struct logs_count *ret);
