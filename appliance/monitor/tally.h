/* Counting what strangers can bring about, so that a leaf for each does not fill the disk.
 *
 * Per (kind, about, reason): the first in a quiet minute is a leaf of its own at once; those that follow
 * within a minute of a leaf are counted, and become one leaf when the minute is over.  So there is never more
 * than one leaf a minute of each.  "about" keeps apart what is to be told apart (one alert from another); it is
 * of ours, never of a stranger's choosing.  Where there are too many of them, those beyond share one count.
 *
 * No I/O and no clock here: mono_us is the boot clock, by which minutes are counted, wall_us what the leaf
 * says. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/refuse.h"

enum {
	TALLY_ROWS_MAX = 128,
	TALLY_SHARED = 8, /* of them for what finds no row of its own */
	TALLY_SAMPLES = 3,
	TALLY_WINDOW_S = 60,
	TALLY_KIND_MAX = 16,
	TALLY_ABOUT_MAX = 176,
	TALLY_BYTES_MAX = 128 * 1024,
};
#define TALLY_OTHERS "others"

struct tally_row {
	char kind[TALLY_KIND_MAX];
	char about[TALLY_ABOUT_MAX];
	enum reason reason;
	uint64_t began_us;	    /* boot clock: when its last leaf was written */
	uint64_t count;		    /* since then */
	uint64_t first_us, last_us; /* wall clock, of those counted */
	size_t n_samples;
	uint8_t samples[TALLY_SAMPLES][32]; /* digests of the first of them */
};

struct tally {
	struct tally_row rows[TALLY_ROWS_MAX];
	size_t n;
	bool changed; /* since tally_json() */
};

/* One more.  digest (32 bytes) may be NULL.  true: write a leaf of its own for it now (a caller that then
 * fails need not undo this); false: it was counted. */
bool tally_add(struct tally *t, const char *kind, const char *about, enum reason reason,
	const uint8_t *digest, uint64_t wall_us, uint64_t mono_us);

/* A row whose minute is over and that counted some: borrowed until the next call; NULL where there is none.
 * all: whether its minute is over or not.  Rows that counted none in their minute are forgotten. */
struct tally_row *tally_due(struct tally *t, uint64_t mono_us, bool all);
/* Its leaf is written: its next minute begins. */
void tally_told(struct tally *t, struct tally_row *row, uint64_t mono_us);

/* What such a leaf carries: {"count","first","last","digests"}.  The caller's; NULL where there is no memory. */
json_t *tally_extra(const struct tally_row *row);

/* What is counted and not yet a leaf, to be kept over a restart; NULL where there is no memory. */
json_t *tally_json(const struct tally *t);
/* Read it back: each row is due at once.  Returns 0, or REASON_MALFORMED / REASON_UNKNOWN_FIELD (logged; t is
 * then as it was). */
int tally_load(struct tally *t, const json_t *doc);
