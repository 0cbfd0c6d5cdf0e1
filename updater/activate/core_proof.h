/* A core on trial proves itself, in its own monitor: all that a good core does is there, and stays so for a while.
 *
 *	the daemons are ready, as the processes they were, and connected to this monitor
 *	the control socket answers `status`
 *	a judge started from this core parses a policy
 *	the services that ran before the switch run
 *
 * What can be wrong at once and for ever (a release in the store that this core cannot read) ends it with a refusal. */
#pragma once

#include <stdint.h>

#include "appliance/base/scope.h"

struct monitor;
struct core_proof;

enum { CORE_PROOF_LOOK_MS = 200 };

/* 0: proved, for soak_ms without a break; or the refusal (logged).  Runs once, from the loop, unless cancelled; the
 * proof is gone by then and *slot NULL. */
typedef void core_proof_done_fn(int r, void *arg);

/* running: names of services, a space between, borrowed.  Returns 0 or a fault (done does not run). */
int core_proof_start(struct core_proof **slot, struct monitor *m, const char *running, uint32_t soak_ms,
	core_proof_done_fn *done, void *arg);
struct core_proof *core_proof_cancel(struct core_proof *p);
/* What is missing still; "" where only the time is. */
const char *core_proof_waits(const struct core_proof *p);
