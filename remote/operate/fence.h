/* The control group of one operation: its memory, processes and processor time together, where this host gives groups.
 * The supervisor made it with the job's limits and hands its files behind the job (supervise_wire.h). */
#pragma once

#include <stdint.h>

#include "remote/operate/operate_wire.h"

enum { FENCE_PROCS_MAX = 3 };

struct fence {
	int procs[FENCE_PROCS_MAX]; /* who writes "0" there joins */
	int n;			    /* 0: there is none to join */
	int kills, refusals, cpu;   /* memory's, processes', processor's counts; -1: none */
};

/* Take the descriptors from first on, until one is none of a group; under systemd, whose unit is the group, none is there to join.  The caller's to close with fence_done(). */
void fence_find(struct fence *ret, int first);
void fence_done(struct fence *f);

/* In a child, before it executes: join, at descriptors from + 0, 1, ... (async-signal-safe).  Returns 0 or -errno. */
int fence_enter(int from, int n);

/* Which limits were reached inside: OPERATE_LIMIT_ bits.  The processor's: it was held back for 200 ms and an eighth of wall_ms
 * at least. */
unsigned fence_reached(const struct fence *f, uint64_t wall_ms);
