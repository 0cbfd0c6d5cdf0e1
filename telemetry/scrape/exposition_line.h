/* One line of samples, taken apart in place: names, labels, value, time, exemplar. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/exposition.h"

struct exposition_line {
	const char *name;
	size_t name_len;
	struct otlp_label labels[EXPOSITION_LABELS_MAX]; /* C strings within the line */
	size_t n_labels;
	double value;
	bool timed;
	double time_s;
	bool exemplar; /* it has one, well formed: OpenMetrics alone */
};

/* Take [p, end) apart; *end is a byte that may be overwritten, and so is all before it.
 * Returns NULL, or what is wrong with it, as a sentence's end ("has no value"). */
const char *exposition_line_read(struct exposition_line *ret, enum exposition_format format,
	char *p, char *end);

/* All of [p, end) is a number as both formats write it; finite: neither NaN nor infinite by name. */
bool exposition_line_number(double *ret, const char *p, const char *end, bool finite);
/* How many of the bytes at p are a metric's name. */
size_t exposition_line_name(const char *p, const char *end);
/* The bytes are UTF-8. */
bool exposition_line_utf8(const char *p, const char *end);
/* A number for these bytes; for tables, not against forgers. */
uint64_t exposition_line_hash(uint64_t seed, const char *p, size_t len);
