/* Writing OTLP: our own requests, and the hub's answers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "telemetry/otlp/otlp.h"

struct buf;

/* Append an ExportMetricsServiceRequest: one resource for each service, in it one metric for each name,
 * in order of first appearance.  Nothing is appended for no samples.  Samples of one service and name
 * take the unit from the first of them; a sample of another kind makes a metric of its own.  Returns 0 or a fault (-EMSGSIZE where out is full). */
int otlp_encode_metrics(struct buf *out, const struct otlp_speaker *speaker,
	const struct otlp_sample *samples, size_t n);

/* Append an ExportLogsServiceRequest, one resource for each service. */
int otlp_encode_logs(struct buf *out, const struct otlp_speaker *speaker,
	const struct otlp_event *events, size_t n);

/* An ExportLogsServiceRequest written line by line, straight into its buffer: no allocation but the
 * buffer's own growth, no byte moved twice.  begin .. line, line .. end makes one ResourceLogs; more of
 * them may follow in the same buffer, together they are one request.  Errors stick in the buffer, and
 * a buffer that was full in the middle of a line holds no request. */
struct otlp_log_writer {
	struct buf *out; /* borrowed */
	size_t resource, scope;
};

void otlp_encode_log_begin(struct otlp_log_writer *w, struct buf *out,
	const struct otlp_speaker *speaker, const struct otlp_log_source *source);
void otlp_encode_log_line(struct otlp_log_writer *w, const struct otlp_log_line *line);
void otlp_encode_log_end(struct otlp_log_writer *w);

/* Append an Export*ServiceResponse: nothing for full success (rejected 0, message NULL), else
 * partial_success, after which the client must not send again. */
void otlp_encode_response(struct buf *out, uint64_t rejected, const char *message);

