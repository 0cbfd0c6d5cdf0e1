/* Reading OTLP requests from bytes that a stranger may have made.
 *
 * No allocation grows with the input; nesting is bounded; strings are checked to be UTF-8; unknown
 * fields are skipped; protobuf's own rules hold (last scalar wins, repeated singular messages merge,
 * packed and unpacked lists).  One deviation: of an attribute's value given twice as a list, the last
 * list stands alone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "telemetry/otlp/otlp.h"

struct buf;

/* What runs for each point or record, in the input's order.  The struct and its arrays live until the
 * call returns, slices as long as the input.  Return 0: taken; an enum reason: this one is rejected,
 * counted, and the rest goes on; < 0: stop, otlp_decode_* returns it. */
struct otlp_decode_ops {
	int (*point)(const struct otlp_point *point, void *arg);
	int (*record)(const struct otlp_record *record, void *arg);
	/* May be NULL.  Asked about a number (GAUGE, SUM) before its attributes are read: they are not checked, point has none but
	 * its run, and all else of it.  Returns as point() does; or OTLP_DECODE_WHOLE where it has not met a point of these
	 * bytes: then it is read whole, and point() is called. */
	int (*number)(const struct otlp_point *point, void *arg);
};
enum { OTLP_DECODE_WHOLE = -1000000 };

struct otlp_tally {
	uint64_t taken;
	uint64_t rejected;
};

/* Read an ExportMetricsServiceRequest, unpacked.  An empty body is a whole request without points.
 * Returns 0 with *ret_tally; REASON_MALFORMED or REASON_TOO_LARGE (logged): callbacks may have run
 * before, the caller throws their work away; or a fault. */
int otlp_decode_metrics(const void *p, size_t len, const struct otlp_decode_ops *ops, void *arg,
	struct otlp_tally *ret_tally);

/* The same for an ExportLogsServiceRequest. */
int otlp_decode_logs(const void *p, size_t len, const struct otlp_decode_ops *ops, void *arg,
	struct otlp_tally *ret_tally);

/* The value of the attribute named key; NULL where there is none. */
const struct otlp_value *otlp_decode_find(const struct otlp_attribute *attributes, size_t n,
	const char *key);

/* The text as a C string; false where it holds a NUL or is size bytes or longer. */
bool otlp_decode_copy(char *out, size_t size, const struct otlp_text *text);

/* Append a value as JSON (bytes as base64 text, numbers that are not finite as text "NaN" "Infinity"
 * "-Infinity").  The value must come from this decoder.  Errors stick in out. */
void otlp_decode_json(struct buf *out, const struct otlp_value *value);

/* Append attributes as one JSON object in the order of their keys' bytes, so that equal sets give
 * equal text; of a key given twice the last stands. */
void otlp_decode_json_map(struct buf *out, const struct otlp_attribute *attributes, size_t n);
