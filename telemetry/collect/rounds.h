/* When to probe and when to batch.  No clock and no I/O: boot time comes in.
 *
 * Probes come every ROUNDS_PROBE_MS for what alerts watch; the last one before a batch asks everything, so that the batch
 * has numbers of now.  Batches come once a period, from a moment of the period that each site has for itself: many sites
 * that come up together (a power cut, a release) do not all send at once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { ROUNDS_PROBE_MS = 2000 };

struct rounds {
	uint64_t period_us;
	uint64_t probe_at_us, batch_at_us;
	uint64_t later_us; /* once, after the first batch */
};

/* The first batch waits for the first answers alone; the second comes one to two periods after it. */
void rounds_start(struct rounds *r, uint64_t period_us, const char *site, uint64_t mono_us);

/* Is it time?  Then the next time is set: a late turn is skipped, not made up.  *ret_all: this is the last probe before a
 * batch. */
bool rounds_probe(struct rounds *r, uint64_t mono_us, bool *ret_all);
bool rounds_batch(struct rounds *r, uint64_t mono_us);

/* How long until something is due. */
uint64_t rounds_wait_ms(const struct rounds *r, uint64_t mono_us);
