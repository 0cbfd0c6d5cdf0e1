/* Numbers as exporters show them: what exposition_feed() reads, written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "telemetry/scrape/exposition.h"

struct buf;
struct otlp_sample;

/* Append n samples in this format, family by family, in the order of their names; a service becomes the label
 * "service".  timed: with each sample's time.  OpenMetrics' counters are called NAME_total whatever they are called; its end,
 * "# EOF", is written.  What went stale is left out, and where one name has two kinds all but the first's.
 * Returns how many were left out, or a fault (also out's). */
int exposition_print(struct buf *out, enum exposition_format format,
	const struct otlp_sample *samples, size_t n, bool timed);
