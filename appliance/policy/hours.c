#include "appliance/policy/hours.h"

#include <string.h>

#include "appliance/base/clock.h"

enum { DAY_MIN = 24 * 60, ALL_DAYS = 0x7f };

static const char *const days[7] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

static bool
take_day(unsigned *ret, const char **at)
{
	for (unsigned i = 0; i < 7; i++) {
		if (strncmp(*at, days[i], 3) != 0)
			continue;
		*ret = i;
		*at += 3;
		return true;
	}
	return false;
}

/* "mon-fri ", "sat ", or nothing at all for every day. */
static bool
take_days(uint8_t *ret, const char **at)
{
	unsigned first, last;

	*ret = ALL_DAYS;
	if (!take_day(&first, at))
		return true;
	last = first;
	if (**at == '-') {
		(*at)++;
		if (!take_day(&last, at))
			return false;
	}
	*ret = (uint8_t)(1U << last);
	for (unsigned d = first; d != last; d = (d + 1) % 7)
		*ret |= (uint8_t)(1U << d);
	return *(*at)++ == ' ';
}

static bool
take_digits(unsigned *ret, const char **at)
{
	const char *p = *at;

	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*ret = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
	*at += 2;
	return true;
}

static bool
take_time(uint16_t *ret, const char **at)
{
	unsigned hour, minute;

	if (!take_digits(&hour, at) || *(*at)++ != ':' || !take_digits(&minute, at))
		return false;
	if (minute > 59 || hour * 60 + minute > DAY_MIN)
		return false;
	*ret = (uint16_t)(hour * 60 + minute);
	return true;
}

bool
hours_parse(struct hours *ret, const char *text)
{
	struct hours h;
	const char *at = text;

	if (!take_days(&h.days, &at) || !take_time(&h.from, &at) || *at++ != '-' ||
		!take_time(&h.to, &at) || *at || h.from == DAY_MIN || h.from == h.to)
		return false;
	*ret = h;
	return true;
}

bool
hours_open(const struct hours *h, uint64_t now_us)
{
	uint64_t minutes = now_us / CLOCK_US_PER_S / 60;
	unsigned minute = (unsigned)(minutes % DAY_MIN);
	unsigned today = (unsigned)((minutes / DAY_MIN + 3) % 7); /* 1970 began on a Thursday */
	unsigned yesterday = (today + 6) % 7;
	bool begins_today = h->days & (1U << today), began_before = h->days & (1U << yesterday);

	if (h->from < h->to)
		return begins_today && minute >= h->from && minute < h->to;
	return (begins_today && minute >= h->from) || (began_before && minute < h->to);
}

uint64_t
hours_next(const struct hours *h, uint64_t now_us)
{
	const uint64_t day_us = DAY_MIN * 60 * CLOCK_US_PER_S;
	uint64_t day = now_us / day_us;

	if (hours_open(h, now_us))
		return now_us;
	for (;; day++) {
		uint64_t begins = day * day_us + h->from * 60 * CLOCK_US_PER_S;

		if ((h->days & (1U << (day + 3) % 7)) && begins > now_us)
			return begins; /* within eight days: it has one day at least */
	}
}
