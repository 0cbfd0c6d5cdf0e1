#include "appliance/supervise/shim_look.h"

void
shim_look_ask(struct shim_look *l, uint64_t now_us)
{
	l->asked_us = now_us;
	l->first_us = 0;
	l->wait_ms = SHIM_LOOK_MS;
}

static uint64_t
within_period(const struct shim_look *l, uint64_t ms)
{
	return ms < l->period_ms ? ms : UINT64_MAX;
}

uint64_t
shim_look_probed(struct shim_look *l, uint64_t began_us, bool passed)
{
	uint64_t wait_ms = l->wait_ms;

	if (!l->asked_us)
		return UINT64_MAX;
	if (began_us < l->asked_us)
		return 0; /* it tells how things were before */
	if (!passed) {
		l->first_us = 0;
		l->wait_ms = wait_ms < l->period_ms ? 2 * wait_ms : wait_ms;
		return within_period(l, wait_ms);
	}
	if (!l->first_us) {
		l->first_us = began_us;
		return within_period(l, SHIM_LOOK_AGAIN_MS);
	}
	l->looked_us = l->first_us;
	l->asked_us = 0;
	return UINT64_MAX;
}
