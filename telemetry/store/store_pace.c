#include "telemetry/store/store_pace.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/store/store.h"

/* The table forgets the one whose minute began longest ago. */
static struct pace {
	char customer[65];
	uint64_t since_us, points;
} paces[64];

static struct pace *
find(const char *customer, uint64_t mono_us)
{
	struct pace *p = &paces[0];

	for (size_t i = 0; i < ARRAY_LEN(paces); i++) {
		if (strcmp(paces[i].customer, customer) == 0) {
			p = &paces[i];
			break;
		}
		if (paces[i].since_us < p->since_us)
			p = &paces[i];
	}
	if (strcmp(p->customer, customer) != 0 || mono_us - p->since_us >= 60 * CLOCK_US_PER_S) {
		*p = (struct pace){ .since_us = mono_us };
		(void)snprintf(p->customer, sizeof(p->customer), "%s", customer);
	}
	return p;
}

int
store_pace_check(const char *customer, const char *site, uint64_t mono_us)
{
	if (find(customer, mono_us)->points >= STORE_MINUTE_POINTS_MAX)
		return REFUSE(REASON_BUSY, site, "its customer sent %d points within a minute", STORE_MINUTE_POINTS_MAX);
	return 0;
}

void
store_pace_count(const char *customer, uint64_t points, uint64_t mono_us)
{
	find(customer, mono_us)->points += points;
}

void
store_pace_forget(void)
{
	memset(paces, 0, sizeof(paces));
}
