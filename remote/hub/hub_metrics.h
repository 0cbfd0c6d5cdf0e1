/* The hub's counters in the two formats of GET /metrics. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Does this Accept (NULL: there was none) like OpenMetrics 1.0 at least as much as text? */
bool hub_metrics_wants_openmetrics(const char *accept);

/* Append text 0.0.4 of ours as OpenMetrics: families of counters without their "_total", and the end.  Errors stick to
 * out. */
void hub_metrics_put_openmetrics(struct buf *out, const char *text);
