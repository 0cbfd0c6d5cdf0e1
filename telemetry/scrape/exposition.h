/* The text in which exporters show their numbers: Prometheus's 0.0.4 and 1.0.0 (UTF-8 names), OpenMetrics 1.0.
 *
 * One bad line makes the whole exposition invalid: whoever takes samples throws them away when a call refuses.  The
 * text comes in pieces of any size and is altered where it lies; what is kept of it is bounded: an unfinished line, the
 * labels of one group, and for each family and group eight bytes, by which one that comes again is known.
 *
 * A point with more labels than ours may have is counted and left out, whole; the others are good.
 *
 * OpenMetrics is held to its rules (names that clash, order, groups, counters, +Inf, exemplars, # EOF).  The older
 * format is as forgiving as its own parser, but that lines of one histogram or summary stand together.
 *
 *	counter           COUNTER, named as its line is; _created becomes its start
 *	gauge, unknown    GAUGE
 *	histogram         HISTOGRAM, named as the family
 *	summary           SUMMARY, named as the family
 *	info, stateset    GAUGE for each line
 *	gaugehistogram    GAUGE for each line, as OTLP has none
 *
 * Exemplars are read and not handed on: nothing of what may leave describes them.  HELP is not kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct exposition;
struct otlp_sample;

enum exposition_format {
	EXPOSITION_TEXT,
	EXPOSITION_TEXT_UTF8,
	EXPOSITION_OPENMETRICS,
	EXPOSITION_MAX,
};

enum {
	EXPOSITION_LINE_MAX = 64 * 1024,
	EXPOSITION_NAME_MAX = 1024, /* of a family */
	EXPOSITION_SAMPLES_MAX = 10000,
	EXPOSITION_LABELS_MAX = 64, /* of a line that is read */
};

/* The format that a Content-Type names ("text/plain; version=0.0.4"); text/plain without a version is the oldest.
 * Returns 0, or REASON_MALFORMED (unlogged) where it names none of them. */
int exposition_format_of(enum exposition_format *ret, const char *content_type);

/* One sample.  Everything is lent until this returns; time_us is 0 where the text gives no time (timed is false), start_us
 * where it gives no start.  Of a unit the text's own word, NULL where it has none.
 * Returns 0, or a reason or fault, at which the parser stops and hands it on. */
typedef int exposition_fn(const struct otlp_sample *sample, bool timed, void *arg);

/* what names the exposition in refusals, borrowed.  Returns 0 or a fault. */
int exposition_new(struct exposition **ret, enum exposition_format format, const char *what,
	exposition_fn *fn, void *arg);
struct exposition *exposition_free(struct exposition *e);
SCOPED_DESTRUCTOR(struct exposition, exposition_free)

/* The next bytes; altered.  exposition_end(): there are no more.
 * Return 0; REASON_MALFORMED or REASON_TOO_LARGE, logged with the line; what fn said; or a fault.  After anything but 0
 * the parser takes no more. */
int exposition_feed(struct exposition *e, char *text, size_t len);
int exposition_end(struct exposition *e);
/* Lines of samples so far. */
size_t exposition_samples(const struct exposition *e);
/* Points that were not handed on, as they have more labels than one of ours may (OTLP_LABELS_MAX). */
size_t exposition_dropped(const struct exposition *e);
