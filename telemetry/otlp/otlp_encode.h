/* Writing OTLP: our own requests, and the hub's answers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "telemetry/otlp/otlp.h"

struct buf;

/* Append an ExportMetricsServiceRequest: one resource for each service, in it one metric for each name,
 * in order of first appearance.  Nothing is appended for no samples.  Samples of one service and name
 * take unit and kind from the first of them.  Returns 0 or a fault (-EMSGSIZE where out is full). */
int otlp_encode_metrics(struct buf *out, const struct otlp_speaker *speaker,
	const struct otlp_sample *samples, size_t n);

/* Append an ExportLogsServiceRequest, one resource for each service. */
int otlp_encode_logs(struct buf *out, const struct otlp_speaker *speaker,
	const struct otlp_event *events, size_t n);

/* Append an Export*ServiceResponse: nothing for full success (rejected 0, message NULL), else
 * partial_success, after which the client must not send again. */
void otlp_encode_response(struct buf *out, uint64_t rejected, const char *message);

/* Append a google.rpc.Status, the body of every error answer on /v1/metrics and /v1/logs. */
void otlp_encode_status(struct buf *out, int code, const char *message);
