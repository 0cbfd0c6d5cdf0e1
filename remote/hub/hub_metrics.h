/* The hub's counters in the other format of GET /metrics. */
#pragma once

struct buf;

/* Append text 0.0.4 of ours as OpenMetrics: families of counters without their "_total", and the end.  Errors stick to
 * out. */
void hub_metrics_put_openmetrics(struct buf *out, const char *text);
