/* A look at how a service does from now on, as somebody asked for it: probes at once and at growing distances, until two
 * in a row passed.  No I/O, no clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	SHIM_LOOK_MS = 50,	  /* after the first probe that failed; then twice as long, up to the period */
	SHIM_LOOK_AGAIN_MS = 200, /* after the first that passed: what was told to end needs a moment to do it */
};

struct shim_look {
	uint64_t period_ms; /* of the probes that come anyway; set once */
	uint64_t asked_us;  /* 0: nobody asked, or it is over */
	uint64_t first_us;  /* when the first probe of those that passed in a row began; 0: the last one did not pass */
	uint64_t looked_us; /* the same of the last look that is over; 0: none */
	uint64_t wait_ms;   /* after the next one that fails */
};

/* Begin, or begin anew.  The caller probes as soon as it can. */
void shim_look_ask(struct shim_look *l, uint64_t now_us);

/* A probe that began at began_us, whoever wanted it, has ended.  Returns in how many ms the look wants another one;
 * UINT64_MAX: none, or the period's own is early enough. */
uint64_t shim_look_probed(struct shim_look *l, uint64_t began_us, bool passed);
