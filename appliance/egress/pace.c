#include "appliance/egress/pace.h"

#include "appliance/base/clock.h"

/* What of the debt is left at this time; at most a second's room is kept. */
static int64_t
settle(struct pace *p, uint64_t mono_us)
{
	uint64_t past = mono_us > p->at_us ? mono_us - p->at_us : 0;

	if (past > 3600 * CLOCK_US_PER_S)
		past = 3600 * CLOCK_US_PER_S;
	p->debt_us -= (int64_t)past;
	if (p->debt_us < -(int64_t)CLOCK_US_PER_S)
		p->debt_us = -(int64_t)CLOCK_US_PER_S;
	p->at_us = mono_us;
	return p->debt_us;
}

bool
pace_may(struct pace *p, uint64_t mono_us)
{
	return p->rate == 0 || settle(p, mono_us) <= 0;
}

void
pace_spend(struct pace *p, uint64_t bytes, uint64_t mono_us)
{
	if (p->rate == 0)
		return;
	(void)settle(p, mono_us);
	p->debt_us += (int64_t)((bytes + PACE_OVERHEAD) * CLOCK_US_PER_S / p->rate);
}

bool
pace_ask(struct pace_peer *p, uint64_t *asked, uint64_t mono_us)
{
	const uint64_t hear_us = PACE_HEAR_MS * CLOCK_US_PER_MS;

	if (p->tries == 0)
		return true;
	if (p->asking || mono_us < p->until_us)
		return false;
	if (mono_us < p->until_us + hear_us) {
		if (!p->next || *asked < p->next_asked) {
			p->next = asked;
			p->next_asked = *asked;
		}
		return false;
	}
	/* Whoever's turn it is may not want to any more. */
	if (p->next && p->next != asked && mono_us < p->until_us + 2 * hear_us)
		return false;
	p->asking = true;
	*asked = ++p->questions;
	p->next = NULL;
	return true;
}

void
pace_away(struct pace_peer *p, uint64_t mono_us)
{
	/* Several may have been under way when it went: one step for all of them. */
	if (p->tries == 0 || p->asking) {
		p->until_us = mono_us + clock_backoff_us(p->tries, PACE_AWAY_BASE_MS * CLOCK_US_PER_MS,
					       PACE_AWAY_S * CLOCK_US_PER_S);
		if (p->tries < 32)
			p->tries++;
	}
	p->asking = false;
}

void
pace_back(struct pace_peer *p)
{
	*p = (struct pace_peer){ .questions = p->questions };
}

void
pace_leave(struct pace_peer *p)
{
	p->asking = false;
}
