/* The floor of the clock: a time that is certainly past, and who said so.  lib/monitor/floor.json; it only rises.
 *
 * What raises it are dates in what several people's offline keys signed: the people document (its end minus the
 * longest life it may have: it exists, so that much time has passed) and what k of the customer's owners signed (the
 * time in their message).  Not the timestamp, the snapshot and the targets of the repository: they state only when
 * they end, of a life that no rule bounds, and the first two are signed by single keys of a machine that is online;
 * who stole one could move every site decades ahead, for good.  Never the hub's time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	FLOOR_WHOSE_MAX = 64,
	FLOOR_UNSET_S =
		1767225600, /* 2026-01-01: a clock before it was never set; this program is younger */
};

/* What holds before anybody has said anything: as the floor of the dates of certificates, where a clock that was never
 * set (or stands far ahead) must not keep a site from its hub. */
#define FLOOR_LEAST_US (FLOOR_UNSET_S * UINT64_C(1000000))

struct floor {
	uint64_t us;		     /* 0: nobody has said anything yet */
	char whose[FLOOR_WHOSE_MAX]; /* "people 7", "owners"; "" while us is 0 */
};

/* No file: a floor of 0.  Returns 0, a refusal of a damaged file, or a fault. */
int floor_load(struct floor *ret, int dir_fd);

/* Raise it to us, said by whose, and keep that before it counts.  Lower or equal: 0, nothing changed.  Returns 0 or a
 * fault (unchanged then). */
int floor_raise(struct floor *f, uint64_t us, const char *whose, int dir_fd);
