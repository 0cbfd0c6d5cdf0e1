/* The recordings of operations: lib/monitor/recordings/ID.cast, asciicast v2.
 *
 * While an operation runs its recording is ID.cast.part, written as output comes (what comes within RECORDING_JOIN_MS
 * becomes one event); it is closed by a marker, synced, and renamed.  What a crash left is closed at the next start: cut
 * behind its last whole line, marked "interrupted".  So a file ID.cast is whole, and its digest stands for good.
 *
 * They are numbered on; at most RECORDINGS_MAX and RECORDINGS_BYTES_MAX are kept, the oldest go first, and the
 * difference between the last number and how many there are is how many went. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

struct buf;
struct recording;
struct recordings;

enum {
	RECORDINGS_MAX = 512,
	RECORDINGS_BYTES_MAX = 256 * 1024 * 1024,
	RECORDING_JOIN_MS = 20,
	RECORDINGS_CHUNK_MAX = 512 * 1024,
	RECORDING_STREAMS = 2,
};

/* Open the folder below monitor_fd (borrowed during the call), making it, and close what a crash left.  A file that is
 * no recording is set aside as NAME.bad and logged.  Returns 0 or a fault. */
int recordings_open(struct recordings **ret, int monitor_fd, sd_event *loop);
/* Its recordings that still run are to be abandoned before. */
struct recordings *recordings_close(struct recordings *all);
SCOPED_DESTRUCTOR(struct recordings, recordings_close)

/* Begin one.  id is a file's name; an older recording of the same is replaced once this one is whole.  request is the
 * digest of the request's payload; time_us the wall clock.  Returns 0; REASON_NO_SPACE (logged); or a fault. */
int recordings_begin(struct recordings *all, const char *id, const uint8_t request[32], const char *title,
	uint64_t time_us, struct recording **ret);
/* What came on stream 1 or 2, secrets masked already.  Returns 0, REASON_NO_SPACE (logged), or a fault: it records
 * nothing more then, and what runs should not go on unseen. */
int recording_put(struct recording *r, int stream, const void *p, size_t len);
/* Close it with a marker ("end: ok").  It is on the disk when this returns 0, or REASON_NO_SPACE (logged) or a fault:
 * then the next start closes it.  take_r is gone in every case. */
int recording_end(struct recording *take_r, const char *how);
/* Forget it: the next start closes it. */
struct recording *recording_abandon(struct recording *r);
SCOPED_DESTRUCTOR(struct recording, recording_abandon)

/* The digest and number of a recording that is whole.  Returns 0; REASON_NOT_FOUND (unlogged); or a fault. */
int recordings_digest(struct recordings *all, const char *id, uint8_t ret[32], uint64_t *ret_n);

/* Is its last leaf still to be written?  Such a recording is not removed. */
typedef bool recordings_needed_fn(const char *id, void *arg);
void recordings_trim(struct recordings *all, recordings_needed_fn *needed, void *arg);
/* How many were removed to make room, ever. */
uint64_t recordings_removed(const struct recordings *all);

/* [{"n","id","title","time","bytes","state"}], in their order; new reference, or NULL.  state: "closed", "running". */
json_t *recordings_list(const struct recordings *all);
/* Whole lines from byte `from` on, at most RECORDINGS_CHUNK_MAX of them, appended to out (nothing: it ends there for
 * now); one that is running, too.  Returns 0; REASON_NOT_FOUND (logged); or a fault. */
int recordings_read(struct recordings *all, const char *id, uint64_t from, struct buf *out);
