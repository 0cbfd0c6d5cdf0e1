#include "telemetry/store/store_pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/store/store.h"

enum { PACES = 1024, NEAR = 16 };

/* A name lies in one of the places near its hash; where all are taken, the one whose minute began longest ago is forgotten. */
static struct pace {
	char name[2 * 65 + 8];
	uint64_t since_us, points;
} paces[PACES];
static uint64_t salt;

static size_t
place_of(const char *name)
{
	uint64_t h = salt;

	for (; *name; name++)
		h = ((h ^ (uint8_t)*name) * UINT64_C(0x9e3779b97f4a7c15)) >> 7 ^ (h << 29);
	return h % PACES;
}

static struct pace *
find(const char *customer, const char *site, const char *via, uint64_t mono_us)
{
	char name[sizeof(paces->name)];
	struct pace *p = NULL;
	size_t at;

	(void)snprintf(name, sizeof(name), "%s/%s%s", customer, via, site);
	if (!salt)
		fs_random(&salt, sizeof(salt));
	at = place_of(name);
	for (size_t i = 0; i < NEAR; i++) {
		struct pace *one = &paces[(at + i) % PACES];

		if (strcmp(one->name, name) == 0) {
			p = one;
			break;
		}
		if (!p || one->since_us < p->since_us)
			p = one;
	}
	if (strcmp(p->name, name) != 0 || mono_us - p->since_us >= 60 * CLOCK_US_PER_S) {
		*p = (struct pace){ .since_us = mono_us };
		(void)snprintf(p->name, sizeof(p->name), "%s", name);
	}
	return p;
}

int
store_pace_check(const char *customer, const char *site, const char *via, uint64_t mono_us)
{
	if (find(customer, site, via, mono_us)->points >= STORE_MINUTE_SITE_POINTS_MAX)
		return REFUSE(REASON_BUSY, site, "it sent %d points within a minute", STORE_MINUTE_SITE_POINTS_MAX);
	if (find(customer, "", "", mono_us)->points >= STORE_MINUTE_POINTS_MAX)
		return REFUSE(REASON_BUSY, site, "its customer sent %d points within a minute", STORE_MINUTE_POINTS_MAX);
	return 0;
}

void
store_pace_count(const char *customer, const char *site, const char *via, uint64_t points, uint64_t mono_us)
{
	find(customer, site, via, mono_us)->points += points;
	find(customer, "", "", mono_us)->points += points;
}

void
store_pace_forget(void)
{
	memset(paces, 0, sizeof(paces));
}
