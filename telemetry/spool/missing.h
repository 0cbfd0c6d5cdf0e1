/* What never arrived, as the courier counts it (appliance/egress/ack.h, "counts"): told on the event bus and kept beside the
 * streams, so that the counts leave like any other number and the vendor sees what is missing.
 *
 * Event "missing" of the publisher run/bus/courier, text {"stream":STREAM,"counts":{WHAT: number, "from": time, "to": time}}; kept
 * as STREAM.missing, the counts alone.  Whoever lies here can only make numbers wrong that say so of themselves. */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* The event's text, malloc'ed; NULL without memory.  counts is borrowed. */
char *missing_write(const char *stream, const json_t *counts);

/* Take an event's text.  dir_fd is lib/telemetry/spool.  Returns 0; REASON_MALFORMED or another of json_read() (logged, what
 * was known stays); or a fault. */
int missing_take(int dir_fd, const char *text);

/* what: "400", "damaged", "lost", "rejected" (points or lines, the others are records); since_us: when the first of
 * the stream went missing. */
typedef void missing_fn(const char *stream, const char *what, uint64_t n, uint64_t since_us, void *arg);

/* Each count that is kept; none where nothing is, or where it cannot be read (logged). */
void missing_each(int dir_fd, missing_fn *fn, void *arg);
