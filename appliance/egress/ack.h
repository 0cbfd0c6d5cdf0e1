/* How far each stream is committed, what went ahead of that, and what never arrived: lib/courier/acks.json, replaced
 * whole at each step that is durable.
 *
 * The courier writes it; the owners of the streams read it as a hint for what may be trimmed (a courier that
 * lies can only lose what it could have withheld), `telemetry sent` reads it to tell sent from waiting, `status` for
 * the counts.
 *
 *	{"v":1,
 *	 "streams":{STREAM: sequence},                 everything up to here is done with, never going back
 *	 "reserved":{STREAM: sequence},                up to here records may have gone though the place is before it (ack_reserve())
 *	 "ahead":{STREAM: [from, upto, …]},            ranges above it that went ahead (lanes.h); upto < from: none of it yet
 *	 "passed":{STREAM: [from, upto, …]},           ranges that never go there: they were not meant for this receiver
 *	 "counts":{STREAM: {WHAT: number, "from": time, "to": time}}}
 *
 * STREAM is a stream's name for what goes to the hub, "DESTINATION/STREAM" for another destination.  WHAT: the status
 * by which a record was dropped ("400"), "damaged" on our disk, "lost" to the spool's cap before it went, "rejected" for
 * points and lines of records that were taken in part; from and to: the time of the first and the last of them.  The
 * counts are in the same file, and so in the same write, as the place behind the record that they count: a crash counts
 * nothing twice. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct ack;

#define ACK_NAME "acks.json"

enum { ACK_AHEAD_MAX = 8, ACK_PASSED_MAX = 8, ACK_STREAMS_MAX = 64, ACK_STREAM_BYTES = 100 };

struct ack_range {
	uint64_t from, upto;
};

/* Read dir_fd/acks.json; no file: nothing was acknowledged.  dir_fd is borrowed and outlives it.  Returns 0, a
 * reason (logged) where the file is damaged, or a fault. */
int ack_open(struct ack **ret, int dir_fd);
struct ack *ack_free(struct ack *a);
SCOPED_DESTRUCTOR(struct ack, ack_free)

uint64_t ack_get(const struct ack *a, const char *stream); /* 0: none yet */
bool ack_known(const struct ack *a, const char *stream);   /* it has a place, 0 too */
/* Committed up to here, or gone ahead. */
bool ack_has(const struct ack *a, const char *stream, uint64_t sequence);

/* Durable on return.  A lower sequence than the known one is ignored (but what is counted is kept).  Where it reaches
 * the first range that went ahead, the place is behind that. */
int ack_set(struct ack *a, const char *stream, uint64_t sequence);
/* The same in memory, durable with the next step that is, or by ack_flush(); at once where it passes what went ahead.  For
 * receivers that know by themselves what they have: what goes again after a crash, they take for what it is. */
int ack_set_soon(struct ack *a, const char *stream, uint64_t sequence);
/* The stream has no place any more: its receiver lost the count, and knows what comes twice for what it is.  Durable. */
int ack_forget(struct ack *a, const char *stream);
/* Write what is in memory alone; nothing, where nothing is.  ack_free() does not. */
int ack_flush(struct ack *a);
/* Where a write failed so late that nobody knows what acks.json says after a power cut: write it once more.  Before that succeeds
 * no record may leave, for the lane that it belongs to could be another after a restart.  Returns 0, as it mostly does at
 * once, or a fault. */
int ack_settle(struct ack *a);
/* Records up to here may now go before the place says so (ack_set_soon()).  A lower one is ignored; forgotten where the
 * place is there.  Durable. */
int ack_reserve(struct ack *a, const char *stream, uint64_t upto);
uint64_t ack_reserved(const struct ack *a, const char *stream); /* 0: nothing */
/* Make a place where there is none: everything up to sequence, 0 too, is done with.  Durable. */
int ack_begin(struct ack *a, const char *stream, uint64_t sequence);

/* These never go there: another receiver's class, or written before there was this one.  Written with the next step.  Of more
 * than ACK_PASSED_MAX ranges the oldest are forgotten. */
int ack_pass(struct ack *a, const char *stream, uint64_t from, uint64_t upto);
bool ack_passed(const struct ack *a, const char *stream, uint64_t sequence);

/* The ranges that went ahead, in order; the last is the one that goes on.  Returns how many. */
size_t ack_ahead(const struct ack *a, const char *stream, struct ack_range ret[ACK_AHEAD_MAX]);
/* Another range goes ahead from this sequence on.  Durable.  Returns 0; 1 where there are ACK_AHEAD_MAX, or where from is
 * not above all that is known (nothing changed); or a fault. */
int ack_ahead_begin(struct ack *a, const char *stream, uint64_t from);
/* The last range reaches to here.  Durable. */
int ack_ahead_set(struct ack *a, const char *stream, uint64_t upto);

/* Count n more, written with the next step of any stream. */
int ack_count(struct ack *a, const char *stream, const char *what, uint64_t n, uint64_t from_us,
	uint64_t to_us);
/* Forget what was counted: another vendor comes.  Written with the next step. */
void ack_count_anew(struct ack *a, const char *stream);
/* The members as above, borrowed. */
json_t *ack_streams(const struct ack *a);
const json_t *ack_counts(const struct ack *a);
