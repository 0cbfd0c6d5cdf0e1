/* Numbers as exporters show them: what exposition_feed() reads, written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "telemetry/scrape/exposition.h"

struct buf;
struct otlp_sample;

/* What a series means, in one line of plain characters; NULL: it is not known. */
typedef const char *exposition_help_fn(const char *name);

/* Append n samples in this format, family by family, in the order of their names; a service becomes the label
 * "service".  timed: with each sample's time.  help, which may be NULL, is asked once for each family: one that it knows
 * gets a line HELP.  Counters are called NAME_total whatever they are called: OpenMetrics' all, in the older text those that
 * help knows, so that ours have one name in both; an exporter's go by the name that it gave.  OpenMetrics' end, "# EOF", is
 * written.  What went stale is left out, and where one name has two kinds all but the first's.
 * Returns how many were left out, or a fault (also out's). */
int exposition_print(struct buf *out, enum exposition_format format, const struct otlp_sample *samples, size_t n,
	bool timed, exposition_help_fn *help);
