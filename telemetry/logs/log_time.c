#include "telemetry/logs/log_time.h"

#include <string.h>

#include "appliance/base/clock.h"

enum { DAY_S = 86400, YEAR_MIN = 1970, YEAR_MAX = 2200 };

/* Whose text a second that was seen is. */
enum form { FORM_RFC3339 = 1, FORM_SYSLOG, FORM_SLASHES, FORM_CLF, FORM_REDIS };

struct parts {
	uint64_t year, month, day, hour, minute, second;
};

bool
log_time_char(struct log_scan *in, char c)
{
	if (in->p >= in->end || *in->p != c)
		return false;
	in->p++;
	return true;
}

bool
log_time_number(struct log_scan *in, unsigned least, unsigned most, uint64_t *ret)
{
	const char *p = in->p;
	uint64_t v = 0;
	unsigned n = 0;

	for (; n < most && p < in->end && *p >= '0' && *p <= '9'; n++)
		v = v * 10 + (uint64_t)(*p++ - '0');
	if (n < least)
		return false;
	in->p = p;
	*ret = v;
	return true;
}

/* Days since 1970 of a date of the Gregorian calendar: years begin with March, so that leap days end them. */
static uint64_t
days_of(const struct parts *t)
{
	uint64_t y = t->year - (t->month <= 2);
	uint64_t m = t->month + (t->month > 2 ? 0 : 12) - 3;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + t->day - 1 - 719468;
}

/* Seconds since 1970 where UTC has that date and time. */
static bool
to_s(const struct parts *t, int64_t *ret_s)
{
	if (t->year < YEAR_MIN || t->year > YEAR_MAX || t->month < 1 || t->month > 12 ||
		t->day < 1 || t->day > 31 || t->hour > 23 || t->minute > 59 || t->second > 60)
		return false;
	*ret_s = (int64_t)(days_of(t) * DAY_S + t->hour * 3600 + t->minute * 60 + t->second);
	return true;
}

static bool
to_us(int64_t s, uint64_t fraction_us, uint64_t *ret_us)
{
	if (s < 0)
		return false;
	*ret_us = (uint64_t)s * CLOCK_US_PER_S + fraction_us;
	return true;
}

static bool
again(struct log_scan *in, enum form form, int64_t *ret_s)
{
	const struct log_time_seen *k = in->seen;

	if (!k || k->form != form || in->end - in->p < k->len || memcmp(in->p, k->text, k->len) != 0)
		return false;
	in->p += k->len;
	*ret_s = k->s;
	return true;
}

/* The text from there up to where the scan stands says s. */
static void
keep(struct log_scan *in, const char *from, enum form form, int64_t s)
{
	struct log_time_seen *k = in->seen;
	size_t len = (size_t)(in->p - from);

	if (!k || len > sizeof(k->text))
		return;
	memcpy(k->text, from, len);
	k->len = (uint8_t)len;
	k->form = (uint8_t)form;
	k->s = s;
}

/* 08:00:00 */
static bool
read_clock(struct log_scan *in, struct parts *t)
{
	return log_time_number(in, 2, 2, &t->hour) && log_time_char(in, ':') &&
		log_time_number(in, 2, 2, &t->minute) && log_time_char(in, ':') &&
		log_time_number(in, 2, 2, &t->second);
}

/* .123456789: what is finer than a microsecond is dropped. */
static void
read_fraction(struct log_scan *in, uint64_t *ret_us)
{
	const char *p = in->p;
	uint64_t us = 0;
	unsigned n;

	*ret_us = 0;
	if (p >= in->end || (*p != '.' && *p != ','))
		return;
	for (p++, n = 0; p < in->end && *p >= '0' && *p <= '9'; p++, n++)
		if (n < 6)
			us = us * 10 + (uint64_t)(*p - '0');
	for (; n < 6; n++)
		us *= 10;
	*ret_us = us;
	in->p = p;
}

static bool
read_month(struct log_scan *in, struct parts *t)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned i;

	if (in->end - in->p < 3)
		return false;
	for (i = 0; i < 12; i++)
		if (memcmp(names + 3 * (size_t)i, in->p, 3) == 0) {
			t->month = i + 1;
			in->p += 3;
			return true;
		}
	return false;
}

/* +01:00 or +0100 */
static bool
read_offset(struct log_scan *in, int64_t *ret_s)
{
	struct log_scan at = *in;
	uint64_t hours, minutes;
	bool west = log_time_char(&at, '-');

	if (!west && !log_time_char(&at, '+'))
		return false;
	if (!log_time_number(&at, 2, 2, &hours))
		return false;
	(void)log_time_char(&at, ':');
	if (!log_time_number(&at, 2, 2, &minutes))
		return false;
	*ret_s = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
	in->p = at.p;
	return true;
}

static bool
read_zone(struct log_scan *in, int64_t *zone_s)
{
	struct log_scan at = *in;

	if (log_time_char(in, 'Z') || log_time_char(in, 'z')) {
		*zone_s = 0;
		return true;
	}
	if (read_offset(in, zone_s))
		return true;
	if (log_time_char(&at, ' ') && at.end - at.p >= 3 &&
		(memcmp(at.p, "UTC", 3) == 0 || memcmp(at.p, "GMT", 3) == 0)) {
		*zone_s = 0;
		in->p = at.p + 3;
		return true;
	}
	return false;
}

bool
log_time_rfc3339(struct log_scan *in, int32_t zone_s, uint64_t *ret_us)
{
	struct log_scan at = *in;
	struct parts t = { 0 };
	int64_t zone = zone_s, s;
	uint64_t fraction_us;

	if (!again(&at, FORM_RFC3339, &s)) {
		if (!log_time_number(&at, 4, 4, &t.year) || !log_time_char(&at, '-') ||
			!log_time_number(&at, 2, 2, &t.month) || !log_time_char(&at, '-') ||
			!log_time_number(&at, 2, 2, &t.day) ||
			!(log_time_char(&at, 'T') || log_time_char(&at, ' ') || log_time_char(&at, 't')) ||
			!read_clock(&at, &t) || !to_s(&t, &s))
			return false;
		keep(&at, in->p, FORM_RFC3339, s);
	}
	read_fraction(&at, &fraction_us);
	(void)read_zone(&at, &zone);
	if (!to_us(s - zone, fraction_us, ret_us))
		return false;
	in->p = at.p;
	return true;
}

bool
log_time_syslog(struct log_scan *in, uint64_t now_us, int32_t zone_s, uint64_t *ret_us)
{
	struct log_scan at = *in;
	struct parts t = { 0 };
	uint64_t us, best = 0, year;
	int64_t s;

	if (again(&at, FORM_SYSLOG, &s)) {
		in->p = at.p;
		return to_us(s, 0, ret_us);
	}
	if (!read_month(&at, &t) || !log_time_char(&at, ' '))
		return false;
	(void)log_time_char(&at, ' ');
	if (!log_time_number(&at, 1, 2, &t.day) || !log_time_char(&at, ' ') || !read_clock(&at, &t))
		return false;
	/* Of the mean length of years; the neighbours are tried, too. */
	year = YEAR_MIN + now_us / CLOCK_US_PER_S / 31556952;
	for (t.year = year - 1; t.year <= year + 1; t.year++)
		if (to_s(&t, &s) && to_us(s - zone_s, 0, &us) && us <= now_us + DAY_S * CLOCK_US_PER_S)
			best = us;
	if (best == 0)
		return false;
	keep(&at, in->p, FORM_SYSLOG, (int64_t)(best / CLOCK_US_PER_S));
	*ret_us = best;
	in->p = at.p;
	return true;
}

bool
log_time_slashes(struct log_scan *in, int32_t zone_s, uint64_t *ret_us)
{
	struct log_scan at = *in;
	struct parts t = { 0 };
	uint64_t fraction_us;
	int64_t s;

	if (!again(&at, FORM_SLASHES, &s)) {
		if (!log_time_number(&at, 4, 4, &t.year) || !log_time_char(&at, '/') ||
			!log_time_number(&at, 2, 2, &t.month) || !log_time_char(&at, '/') ||
			!log_time_number(&at, 2, 2, &t.day) || !log_time_char(&at, ' ') ||
			!read_clock(&at, &t) || !to_s(&t, &s))
			return false;
		keep(&at, in->p, FORM_SLASHES, s);
	}
	read_fraction(&at, &fraction_us);
	if (!to_us(s - zone_s, fraction_us, ret_us))
		return false;
	in->p = at.p;
	return true;
}

bool
log_time_clf(struct log_scan *in, uint64_t *ret_us)
{
	struct log_scan at = *in;
	struct parts t = { 0 };
	int64_t zone = 0, s;

	if (!again(&at, FORM_CLF, &s)) {
		if (!log_time_number(&at, 2, 2, &t.day) || !log_time_char(&at, '/') ||
			!read_month(&at, &t) || !log_time_char(&at, '/') ||
			!log_time_number(&at, 4, 4, &t.year) || !log_time_char(&at, ':') ||
			!read_clock(&at, &t) || !log_time_char(&at, ' ') || !read_offset(&at, &zone) ||
			!to_s(&t, &s))
			return false;
		s -= zone;
		keep(&at, in->p, FORM_CLF, s);
	}
	if (!to_us(s, 0, ret_us))
		return false;
	in->p = at.p;
	return true;
}

bool
log_time_redis(struct log_scan *in, int32_t zone_s, uint64_t *ret_us)
{
	struct log_scan at = *in;
	struct parts t = { 0 };
	uint64_t fraction_us;
	int64_t s;

	if (!again(&at, FORM_REDIS, &s)) {
		if (!log_time_number(&at, 2, 2, &t.day) || !log_time_char(&at, ' ') ||
			!read_month(&at, &t) || !log_time_char(&at, ' ') ||
			!log_time_number(&at, 4, 4, &t.year) || !log_time_char(&at, ' ') ||
			!read_clock(&at, &t) || !to_s(&t, &s))
			return false;
		keep(&at, in->p, FORM_REDIS, s);
	}
	read_fraction(&at, &fraction_us);
	if (!to_us(s - zone_s, fraction_us, ret_us))
		return false;
	in->p = at.p;
	return true;
}

bool
log_time_epoch(struct log_scan *in, uint64_t *ret_us)
{
	static const uint64_t second_max = UINT64_C(7258118400); /* 2200 */
	struct log_scan at = *in;
	uint64_t v, fraction_us;

	if (!log_time_number(&at, 1, 19, &v) || v == 0)
		return false;
	if (v < second_max) {
		read_fraction(&at, &fraction_us);
		*ret_us = v * CLOCK_US_PER_S + fraction_us;
	} else if (v < second_max * 1000) {
		*ret_us = v * 1000;
	} else if (v < second_max * 1000000) {
		*ret_us = v;
	} else {
		*ret_us = v / 1000;
	}
	in->p = at.p;
	return true;
}
