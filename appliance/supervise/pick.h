/* Which core `mainstay run` starts, by lib/core (slots.h), and what becomes of a trial. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/supervise/slots.h"

struct pick {
	enum slots_slot slot;
	uint8_t digest[32];  /* of slots a and b */
	bool trial;	     /* a try of it was taken off, durably */
	bool clear;	     /* what runs may be of another core: end it first */
	bool packaged;	     /* a good core could not be started: the packaged one from now on */
	uint32_t trial_ms;   /* that the try has left */
};

/* Decide.  Where lib/core cannot be read or written nothing is tried: the core that was active runs, or the packaged
 * one.  pick->packaged is kept from one call to the next.  Returns 0, or REASON_CONFLICT (logged) where only the packaged
 * core is there to run and it does not take over lib/: nothing is to be started. */
int pick_core(struct pick *pick, const struct paths *paths);
/* Open one of its programs.  Returns 0 or a fault. */
int pick_program(int *ret_fd, const struct pick *pick, const struct paths *paths, const char *name);
/* It could not be started: true where picking once more gives another one. */
bool pick_unstarted(struct pick *pick, const struct paths *paths);
/* Its supervisor ended.  On trial, and not good by then, that is the end of this try.  Returns 0 or a fault. */
int pick_ended(const struct pick *pick, const struct paths *paths);
/* Its time is up: not good by then, all of it is killed.  Blocks for that.  Returns 0 or a fault. */
int pick_late(const struct pick *pick, const struct paths *paths);
