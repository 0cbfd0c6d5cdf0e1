/* How many points came in the minute that is running, from each sender of a site and for each customer: one that sends without
 * end holds up all others. */
#pragma once

#include <stdint.h>

/* Returns 0, or REASON_BUSY (logged, naming site) where the site, or its other senders (via as in store.h), sent
 * STORE_MINUTE_SITE_POINTS_MAX within a minute, or all of its customer STORE_MINUTE_POINTS_MAX. */
int store_pace_check(const char *customer, const char *site, const char *via, uint64_t mono_us);
void store_pace_count(const char *customer, const char *site, const char *via, uint64_t points, uint64_t mono_us);
void store_pace_forget(void);
