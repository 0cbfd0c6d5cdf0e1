#include "telemetry/collect/rounds.h"

#include "appliance/base/clock.h"

#define PROBE_US (ROUNDS_PROBE_MS * CLOCK_US_PER_MS)

/* FNV-1a: any even spread does; names of sites differ in one letter. */
static uint64_t
spread(const char *site)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *site; site++)
		h = (h ^ (unsigned char)*site) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

void
rounds_start(struct rounds *r, uint64_t period_us, const char *site, uint64_t mono_us)
{
	*r = (struct rounds){
		.period_us = period_us,
		.probe_at_us = mono_us,
		.batch_at_us = mono_us + (period_us < PROBE_US ? period_us : PROBE_US),
		.later_us = spread(site) % period_us,
	};
}

/* The next time after now on the grid that begins at *at. */
static bool
due(uint64_t *at, uint64_t every_us, uint64_t mono_us)
{
	if (mono_us < *at)
		return false;
	*at += every_us * ((mono_us - *at) / every_us + 1);
	return true;
}

bool
rounds_probe(struct rounds *r, uint64_t mono_us, bool *ret_all)
{
	if (!due(&r->probe_at_us, PROBE_US, mono_us))
		return false;
	*ret_all = r->batch_at_us <= r->probe_at_us;
	return true;
}

bool
rounds_batch(struct rounds *r, uint64_t mono_us)
{
	if (!due(&r->batch_at_us, r->period_us, mono_us))
		return false;
	r->batch_at_us += r->later_us;
	r->later_us = 0;
	return true;
}

uint64_t
rounds_wait_ms(const struct rounds *r, uint64_t mono_us)
{
	uint64_t at = r->probe_at_us < r->batch_at_us ? r->probe_at_us : r->batch_at_us;

	return at > mono_us ? (at - mono_us) / CLOCK_US_PER_MS + 1 : 0;
}
