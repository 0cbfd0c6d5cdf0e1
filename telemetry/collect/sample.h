/* A round's samples: numbers with their names, all texts in one arena that is emptied at once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp.h"

enum {
	SAMPLE_SET_MAX = 32 * 1024,        /* samples: of a few exporters that show all they may */
	SAMPLE_TEXT_MAX = 8 * 1024 * 1024, /* bytes of texts */
};

struct sample_set {
	struct otlp_sample *items; /* owned; texts point into the arena or are the caller's constants */
	size_t n, cap;
	struct sample_block *texts;
	size_t text_bytes;
	size_t refused; /* samples that did not fit, since the last reset */
};

void sample_done(struct sample_set *s);  /* frees; empty again */
void sample_reset(struct sample_set *s); /* no samples; memory of the array is kept */

/* Copy a text into the arena; NULL where there is no room. */
const char *sample_text(struct sample_set *s, const char *text);

/* The same for a distribution, with its arrays. */
const struct otlp_distribution *sample_distribution(struct sample_set *s, const struct otlp_distribution *d);

/* Append.  name, unit and label names are kept, not copied; service and label values are copied.
 * service NULL: the host.  Returns the sample, for what is left to set, or NULL where the set is full
 * (counted). */
struct otlp_sample *sample_add(struct sample_set *s, const char *service, const char *name,
	const char *unit, uint64_t time_us);

/* The usual two; the sample or NULL, as above. */
struct otlp_sample *sample_gauge(struct sample_set *s, const char *service, const char *name,
	const char *unit, uint64_t time_us, double v);
struct otlp_sample *sample_gauge_int(struct sample_set *s, const char *service, const char *name,
	const char *unit, uint64_t time_us, int64_t v);

/* Make it a counter that runs since start_us. */
void sample_count(struct otlp_sample *p, uint64_t start_us, double v);
void sample_count_int(struct otlp_sample *p, uint64_t start_us, int64_t v);
/* Add a label to the last one; p may be NULL, as from a full set.  Where there is no room for it the sample is taken back
 * (counted). */
void sample_label(struct sample_set *s, struct otlp_sample *p, const char *name, const char *value);

/* Append copies of all of from, names, units and distributions included, and of its count of those that did not fit: from
 * may go. */
void sample_append(struct sample_set *s, const struct sample_set *from);
