/* How many points each customer sent in the minute that is running: one that sends without end holds up all others. */
#pragma once

#include <stdint.h>

/* Returns 0, or REASON_BUSY (logged, naming site) where the customer sent STORE_MINUTE_POINTS_MAX within a minute. */
int store_pace_check(const char *customer, const char *site, uint64_t mono_us);
void store_pace_count(const char *customer, uint64_t points, uint64_t mono_us);
void store_pace_forget(void);
