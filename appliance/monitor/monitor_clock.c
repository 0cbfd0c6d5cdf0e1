/* Which time it is here, and whether that can be believed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"

enum { DOUBTFUL_MS = 5 * 60 * 1000 };

uint64_t
monitor_now_us(const struct monitor *m)
{
	uint64_t now = clock_now_us();

	return now > m->floor.us ? now : m->floor.us;
}

uint64_t
monitor_date_us(const struct monitor *m)
{
	return monitor_clock_doubtful(m) ? m->floor.us : monitor_now_us(m);
}

const struct floor *
monitor_floor(const struct monitor *m)
{
	return &m->floor;
}

int
monitor_raise_floor(struct monitor *m, uint64_t us, const char *whose)
{
	return FAULT(floor_raise(&m->floor, us, whose, m->dir_fd));
}

static bool
differs_from_hub(const struct monitor *m)
{
	return m->offset_at_us > 0 && llabs(m->offset_ms) > DOUBTFUL_MS;
}

static bool
never_set(uint64_t now_us)
{
	return now_us < FLOOR_UNSET_S * CLOCK_US_PER_S;
}

static bool
below_floor(const struct monitor *m, uint64_t now_us)
{
	return now_us + DOUBTFUL_MS * CLOCK_US_PER_MS < m->floor.us;
}

bool
monitor_clock_doubtful(const struct monitor *m)
{
	uint64_t now = clock_now_us();

	return never_set(now) || below_floor(m, now) || differs_from_hub(m);
}

const char *
monitor_clock_doubt(const struct monitor *m, char out[MONITOR_DOUBT_MAX])
{
	char here[CLOCK_TEXT_MAX], then[CLOCK_TEXT_MAX];
	uint64_t now = clock_now_us();

	clock_format_s(here, now);
	if (never_set(now))
		(void)snprintf(out, MONITOR_DOUBT_MAX, "it stands at %s: it was never set", here);
	else if (below_floor(m, now))
		(void)snprintf(out, MONITOR_DOUBT_MAX, "it stands at %s, but %s was signed %s", here,
			m->floor.whose[0] ? m->floor.whose : "a document here",
			clock_format_s(then, m->floor.us));
	else if (differs_from_hub(m))
		(void)snprintf(out, MONITOR_DOUBT_MAX, "the hub's clock is %" PRId64 " s %s",
			(int64_t)(llabs(m->offset_ms) / 1000), m->offset_ms > 0 ? "ahead" : "behind");
	else
		return NULL;
	return out;
}

void
monitor_look_at_doubt(struct monitor *m)
{
	bool doubtful = monitor_clock_doubtful(m);
	char why[MONITOR_DOUBT_MAX];

	if (doubtful == m->seen_doubtful)
		return;
	m->seen_doubtful = doubtful;
	if (doubtful)
		log_warning("the clock is doubtful: %s; requests need a permit, windows count as closed, dates are "
			    "checked against the floor",
			monitor_clock_doubt(m, why));
	else
		log_info("the clock is believed again");
	monitor_changed(m, MONITOR_CHANGE_CLOCK);
}
