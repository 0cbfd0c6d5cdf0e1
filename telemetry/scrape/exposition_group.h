/* The lines of one metric that make one point together: a counter and its start, a histogram, a summary. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/exposition_line.h"

enum exposition_type {
	EXPOSITION_UNKNOWN,
	EXPOSITION_GAUGE,
	EXPOSITION_COUNTER,
	EXPOSITION_HISTOGRAM,
	EXPOSITION_GAUGEHISTOGRAM,
	EXPOSITION_STATESET,
	EXPOSITION_INFO,
	EXPOSITION_SUMMARY,
};

enum exposition_role {
	EXPOSITION_VALUE,
	EXPOSITION_TOTAL,
	EXPOSITION_CREATED,
	EXPOSITION_BUCKET,
	EXPOSITION_QUANTILE,
	EXPOSITION_SUM,
	EXPOSITION_COUNT,
	EXPOSITION_GSUM,
	EXPOSITION_GCOUNT,
};

struct exposition_group {
	enum exposition_type type;
	bool strict;	 /* OpenMetrics' rules */
	struct buf text; /* of the labels' */
	struct otlp_label labels[OTLP_LABELS_MAX];
	size_t n_labels; /* more than OTLP_LABELS_MAX: none of them is kept */
	bool has_value, has_sum, has_count, has_created;
	double value, sum, count, created_s; /* value: a counter's */
	double bounds[OTLP_BUCKETS_MAX + 1]; /* with infinity; quantiles of a summary */
	double values[OTLP_BUCKETS_MAX + 1]; /* cumulative */
	size_t n;
	uint64_t buckets[OTLP_BUCKETS_MAX + 1];
	struct otlp_distribution distribution; /* whole after exposition_group_end() */
};

/* Begin with the labels of line, without the one at leave_out (n_labels: none). */
void exposition_group_begin(struct exposition_group *g, enum exposition_type type, bool strict,
	const struct exposition_line *line, size_t leave_out);
/* Add a value; at: its bound or quantile.  Returns NULL, or what is wrong, as a sentence's end. */
const char *exposition_group_put(struct exposition_group *g, enum exposition_role role,
	double value, double at);
/* Look at the whole.  Returns as above.  What does not hold a value is an empty group, and good. */
const char *exposition_group_end(struct exposition_group *g);
