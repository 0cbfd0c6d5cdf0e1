/* The collector's streams: one durable record that is both spool and ledger.
 *
 * A stream is a record folder in lib/telemetry/spool; each record is one request as it will leave
 * (appliance/egress/ledger.h).  The courier reads it and ships it; what the hub committed stays, as the
 * ledger, until the cap pushes it out, oldest first.  What the cap pushes out before it was committed is
 * lost, and counted. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/base/scope.h"
#include "appliance/egress/class.h"
#include "appliance/egress/ledger.h"

struct buf;
struct spool;

struct spool_limits {
	uint64_t total_max;   /* bytes on disk */
	uint64_t segment_max; /* bytes of one segment; 0: record.h's default */
	gid_t reader_gid;     /* who may read it */
};

/* Open dir_fd/stream for writing.  dir_fd is borrowed and outlives it.  Returns 0; REASON_BUSY (logged)
 * where another process writes it; or a fault. */
int spool_open(struct spool **ret, int dir_fd, const char *stream, const struct spool_limits *limits);
struct spool *spool_close(struct spool *s);
SCOPED_DESTRUCTOR(struct spool, spool_close)

/* One request as it will leave.  All borrowed. */
struct spool_item {
	enum class_name class;
	const char *path, *content_type;
	const void *body;
	size_t len;
	enum ledger_coding coding; /* what body lies in: LEDGER_IDENTITY, or LEDGER_ZSTD (one whole frame) */
	size_t plain_len;	   /* of a LEDGER_ZSTD body once decoded */
	const void *note;	   /* never leaves; "" of the last record: spool_last_note() */
	size_t note_len;	   /* at most LEDGER_NOTE_MAX */
};

/* Write one request; it is on the disk when this returns.  Returns 0 with *ret_sequence (NULL: not asked),
 * REASON_TOO_LARGE (logged, nothing stored), or a fault. */
int spool_write(struct spool *s, const struct spool_item *item, uint64_t *ret_sequence);

/* For many in one go: written without waiting for the disk, then all made durable.  The courier may ship a record
 * before spool_sync(): it then makes it durable itself. */
int spool_write_unsynced(struct spool *s, const struct spool_item *item, uint64_t *ret_sequence);
int spool_sync(struct spool *s);

/* The note of the newest record that can be read, into out (replaced): where its writer goes on.  Records are never
 * taken from the end, so after kill -9 or a power cut it belongs to the last record that is there.  Returns 0;
 * REASON_NOT_FOUND (unlogged) where there is no record; or a fault.  Reads at most the last segments. */
int spool_last_note(const struct spool *s, struct buf *out);

/* The hub has committed everything up to sequence: pushing it out is no loss. */
void spool_committed(struct spool *s, uint64_t sequence);

/* Records lost to the cap since *ret_since_us (over restarts). */
uint64_t spool_lost(const struct spool *s, uint64_t *ret_since_us);

/* The same count as another process finds it on the disk.  Returns 0; REASON_NOT_FOUND, or what makes it
 * unreadable (logged); or a fault. */
int spool_read_lost(int dir_fd, const char *stream, uint64_t *ret_lost, uint64_t *ret_since_us);

const char *spool_stream(const struct spool *s);
