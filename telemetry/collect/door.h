/* The collector's side of the one door: filter, redactors and pseudonyms with what they keep in lib/telemetry.
 *
 *	waiting.json   what may not leave, for review: the filter's list
 *	shapes.json    the shapes that accepted fields took when they first came
 *	pseudonym.key, pseudonyms
 *
 * The daemon opens it to keep these files; `mainstay telemetry preview` opens the same to read them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/outgoing.h"

struct door;

enum { DOOR_REVIEW_S = 60 /* waiting.json is at most so old while something waits */ };

#define DOOR_WAITING_NAME "waiting.json"
#define DOOR_SHAPES_NAME  "shapes.json"

/* dir_fd (lib/telemetry) is borrowed and outlives it.  pseudonyms: bits of those wanted.  keep: the files are written.
 * Returns 0, pseudonym_open()'s refusals, or a fault. */
int door_open(struct door **ret, int dir_fd, unsigned pseudonyms, bool keep);
struct door *door_free(struct door *d);
SCOPED_DESTRUCTOR(struct door, door_free)

/* What the monitor told; config is borrowed until the next.  Returns 0, filter_set_accepted()'s refusals (nothing
 * changed), or a fault. */
int door_set(struct door *d, const struct config *config);

/* What decides and rewrites; the door's. */
struct outgoing *door_outgoing(struct door *d);

/* Before a record is written that was made with it: what its tokens stand for is made durable first.  Returns 0, or a fault:
 * then the record may not be written. */
int door_before_write(struct door *d);

/* Once a period: keep what changed, see whether the key was taken away.  Faults are logged. */
void door_keep(struct door *d, uint64_t mono_us);
