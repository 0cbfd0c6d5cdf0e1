/* What the files of the decoder share, and nobody else includes. */
#pragma once

#include "appliance/base/cursor.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/otlp_value.h"

/* Everything that is reused for each message, made once: the input cannot make it grow. */
struct otlp_decoder {
	const struct otlp_decode_ops *ops;
	void *arg;
	struct otlp_tally tally;
	struct otlp_origin origin;
	struct otlp_value_list resource;
	struct otlp_value_list own; /* of the point or record at hand */
	struct otlp_point point;
	struct otlp_point number; /* what skim() read */
	uint64_t metrics;
	uint64_t counts[OTLP_BUCKETS_MAX + 1];
	double bounds[OTLP_BUCKETS_MAX];
	double values[OTLP_BUCKETS_MAX];
};

/* A part that cannot be read.  Returns REASON_MALFORMED (logged). */
int otlp_decode_broken(const char *what);

/* Count what a callback said of a point or record.  Returns 0 or its fault. */
int otlp_decode_verdict(struct otlp_decoder *d, int r);

/* Read one Metric: d->origin is whose.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (logged), or a fault. */
int otlp_point_metric(struct otlp_decoder *d, struct cursor in);
