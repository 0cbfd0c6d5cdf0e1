/* From what was collected to what leaves: filter, then OTLP.  The daemon and `mainstay telemetry preview` use
 * the same. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;
struct filter;
struct rule_alert;
struct sample_set;

#define OUTGOING_METRICS_PATH "/v1/metrics"
#define OUTGOING_LOGS_PATH    "/v1/logs"
#define OUTGOING_TYPE	      "application/x-protobuf"

/* Append the collector's numbers about itself.  spool_fd is lib/telemetry/spool; held_since_us is since when f
 * counts.  Numbers that cannot be read are left out. */
void outgoing_own(struct sample_set *out, int spool_fd, const struct filter *f, uint64_t held_since_us,
	uint64_t now_us);

/* Append the request that carries those samples of in that may leave; nothing where none may.  Returns 0
 * with how many do, or a fault. */
int outgoing_metrics(struct buf *out, struct filter *f, const char *site, const struct sample_set *in,
	size_t *ret_n);

/* The same for one alert. */
int outgoing_alert(struct buf *out, struct filter *f, const char *site, const struct rule_alert *alert,
	uint64_t now_us, size_t *ret_n);
