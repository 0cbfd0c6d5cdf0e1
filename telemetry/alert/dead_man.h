/* The dead-man switch: a site whose signed heartbeats stop is an alert of its own (SiteSilent of service mainstay), by the
 * hub's clock alone; the next heartbeat ends it.
 *
 * A site says something every ten seconds as long as any of its switches is on, telemetry or not; its courier may wait
 * DEAD_MAN_PERIOD_S after a broken link.  One that left is not silent, nor one that never spoke.  While the hub has not
 * itself listened for a whole period (it was started, it stood still, its clock was set), nobody is called silent.
 *
 * What it knows stands in the statements and alerts of the customers' files, so a restart forgets nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/db.h"

struct serve;

enum {
	DEAD_MAN_PERIOD_S = 30,
	DEAD_MAN_PERIODS = 3,
	DEAD_MAN_TICK_S = 10, /* how often it is to be checked */
};

struct dead_man {
	uint64_t listening_us; /* boot time: since when this hub listens without a break */
	uint64_t last_us, last_mono_us; /* the check before: wall clock, boot time */
};
void dead_man_init(struct dead_man *d);

/* When the site's last heartbeat came; 0: never. */
int dead_man_heard(struct db *customer, const char *site, uint64_t *ret_us);

/* Heard, but not for DEAD_MAN_PERIODS. */
bool dead_man_is_late(uint64_t heard_us, uint64_t now_us);

/* Fire and end.  Every DEAD_MAN_TICK_S; writes where something changed.  Returns 0 or a fault. */
int dead_man_check(struct dead_man *d, struct serve *serve);
