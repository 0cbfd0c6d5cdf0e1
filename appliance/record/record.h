/* Append-only records that survive power loss: the ground of spool, ledger, outbox and journals.
 *
 * A record folder holds segments, files named by the first sequence in them.  A record is
 * len | crc32c | sequence | payload (segment.h); sequences are gapless from 1.  One process writes (the
 * folder is locked), any number read.  On opening, a torn tail (what a power cut leaves) is cut away; a
 * bad record with good ones after it is damage and never cut.  After a failed fsync the segment is
 * abandoned and what was not durable is written anew into a fresh one, from memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/base/scope.h"

struct buf;
struct record;
struct record_reader;

enum {
	RECORD_END = 1000, /* outcome of record_reader_next(): nothing more yet */
};

/* Zero means the default in brackets. */
struct record_limits {
	size_t record_max;   /* bytes of one payload [1 MiB] */
	size_t segment_max;  /* bytes of one segment, at which the next begins [4 MiB, at most a quarter of total] */
	uint64_t total_max;  /* bytes of all segments [256 MiB] */
	bool drop_oldest;    /* at total_max, remove the oldest segment instead of refusing */
	bool keep_damaged;   /* open though there is damage: go on in a new segment behind it */
	mode_t dir_mode;     /* of a folder made here [0700] */
	mode_t file_mode;    /* [0600] */
	gid_t reader_gid;    /* group of folder and files [ours] */
};

/* Open dir_fd/name for writing, making the folder.  Returns 0; REASON_ALTERED (logged, with the place
 * "name/SEGMENT:OFFSET") where there is damage, nothing was changed; REASON_BUSY (logged) where another
 * process writes it; or a fault. */
int record_open(struct record **ret, int dir_fd, const char *name, const struct record_limits *limits);
/* Does not sync: what record_sync() did not make durable may be lost. */
struct record *record_close(struct record *r);
SCOPED_DESTRUCTOR(struct record, record_close)

/* Append one payload; durable on return.  Returns 0; REASON_NO_SPACE or REASON_TOO_LARGE (logged; nothing
 * was stored); or a fault: whether this record will be there after a restart is then unknown, and the next
 * append or sync tries to store it anew first. */
int record_append(struct record *r, const void *p, size_t len, uint64_t *ret_seq);

/* For batches: append without waiting for the disk, then make all of them durable. */
int record_append_unsynced(struct record *r, const void *p, size_t len, uint64_t *ret_seq);
int record_sync(struct record *r);

uint64_t record_next_sequence(const struct record *r);  /* that the next append gets; 1 at first */
uint64_t record_first_sequence(const struct record *r); /* the oldest still kept; next where none is */
uint64_t record_bytes(const struct record *r);          /* on disk now */

/* Remove whole segments all of whose records are <= upto_seq.  The segment that is written to stays. */
int record_trim(struct record *r, uint64_t upto_seq);

/* --- reading, also from another process ---------------------------------------------------------------- */
/* Open for reading from sequence from_seq on (or the oldest after it that is still kept).  Returns 0,
 * REASON_NOT_FOUND (unlogged) where there is no such folder yet, or a fault. */
int record_reader_open(struct record_reader **ret, int dir_fd, const char *name, uint64_t from_seq);
struct record_reader *record_reader_close(struct record_reader *rd);
SCOPED_DESTRUCTOR(struct record_reader, record_reader_close)

/* The next record: its payload replaces what is in out (whose maximum counts: a longer one is
 * REASON_TOO_LARGE, logged).  What is returned is durable: the reader syncs what the writer did not yet.
 * Returns 0; RECORD_END where nothing more is there yet (ask again later); REASON_ALTERED (logged, with the
 * place) at damage, until record_reader_skip(); or a fault. */
int record_reader_next(struct record_reader *rd, struct buf *out, uint64_t *ret_seq);

/* Step over damage to the next good record.  Returns 0 or RECORD_END. */
int record_reader_skip(struct record_reader *rd);

/* Read from this sequence next. */
int record_reader_seek(struct record_reader *rd, uint64_t seq);

/* The sequence of the newest record there is, 0 where there is none.  Reads the last segment; where the next record is
 * read from stays as it was.  Returns 0 or a fault. */
int record_reader_newest(struct record_reader *rd, uint64_t *ret_seq);
