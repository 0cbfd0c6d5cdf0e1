#include "appliance/base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"

static _Atomic bool faked;
static _Atomic uint64_t fake_now_us, fake_mono_us;

static uint64_t
read_clock(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts); /* cannot fail for the clocks every Linux has */
	return (uint64_t)ts.tv_sec * CLOCK_US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
clock_now_us(void)
{
	return faked ? fake_now_us : read_clock(CLOCK_REALTIME);
}

uint64_t
clock_mono_us(void)
{
	return faked ? fake_mono_us : read_clock(CLOCK_BOOTTIME);
}

void
clock_fake(uint64_t now_us, uint64_t mono_us)
{
	fake_now_us = now_us;
	fake_mono_us = mono_us;
	faked = true;
}

void
clock_real(void)
{
	faked = false;
}

static bool
broken_down(struct tm *tm, uint64_t us)
{
	time_t s = (time_t)(us / CLOCK_US_PER_S);

	return gmtime_r(&s, tm) && tm->tm_year + 1900 <= 9999;
}

const char *
clock_format(char *out, uint64_t us)
{
	struct tm tm;

	if (!broken_down(&tm, us)) {
		us = CLOCK_US_PER_S - 1;
		tm = (struct tm){ .tm_year = 9999 - 1900,
			.tm_mon = 11,
			.tm_mday = 31,
			.tm_hour = 23,
			.tm_min = 59,
			.tm_sec = 59 };
	}
	(void)snprintf(out, CLOCK_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		(unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		(unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		(unsigned)tm.tm_sec % 100, (unsigned)(us % CLOCK_US_PER_S / 1000));
	return out;
}

const char *
clock_format_s(char *out, uint64_t us)
{
	char *dot;

	clock_format(out, us);
	dot = strchr(out, '.');
	if (dot)
		(void)snprintf(dot, 2, "Z");
	return out;
}

/* n digits at text; -1 where one is none. */
static int
digits(const char *text, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		v = v * 10 + (text[i] - '0');
	}
	return v;
}

/* The first 19 characters: YYYY-MM-DDTHH:MM:SS. */
static int
parse_seconds(uint64_t *ret_s, const char *text)
{
	static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, mon, day, hour, min, sec, days;
	struct tm tm;

	if (!text || strnlen(text, 19) < 19 || text[4] != '-' || text[7] != '-' ||
		text[10] != 'T' || text[13] != ':' || text[16] != ':')
		return REASON_MALFORMED;
	year = digits(text, 4);
	mon = digits(text + 5, 2);
	day = digits(text + 8, 2);
	hour = digits(text + 11, 2);
	min = digits(text + 14, 2);
	sec = digits(text + 17, 2);
	if (year < 1970 || mon < 1 || mon > 12 || hour < 0 || hour > 23 || min < 0 || min > 59 ||
		sec < 0 || sec > 59)
		return REASON_MALFORMED;
	days = month_days[mon - 1];
	if (mon == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		days++;
	if (day < 1 || day > days)
		return REASON_MALFORMED;
	tm = (struct tm){ .tm_year = year - 1900,
		.tm_mon = mon - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = min,
		.tm_sec = sec };
	*ret_s = (uint64_t)timegm(&tm);
	return 0;
}

int
clock_parse(uint64_t *ret_us, const char *text)
{
	uint64_t s, us = 0;
	const char *p;

	if (parse_seconds(&s, text) != 0)
		return REASON_MALFORMED;
	p = text + 19;
	if (*p == '.') {
		size_t n = strspn(p + 1, "0123456789");

		if (n < 1 || n > 6)
			return REASON_MALFORMED;
		for (size_t i = 0; i < 6; i++)
			us = us * 10 + (i < n ? (uint64_t)(p[1 + i] - '0') : 0);
		p += 1 + n;
	}
	if (strcmp(p, "Z") != 0)
		return REASON_MALFORMED;
	*ret_us = s * CLOCK_US_PER_S + us;
	return 0;
}

int
clock_parse_s(uint64_t *ret_us, const char *text)
{
	uint64_t s;

	if (parse_seconds(&s, text) != 0 || strcmp(text + 19, "Z") != 0)
		return REASON_MALFORMED;
	*ret_us = s * CLOCK_US_PER_S;
	return 0;
}

int
clock_parse_span(uint64_t *ret_us, const char *text)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = {
		{ "", CLOCK_US_PER_S },
		{ "ms", CLOCK_US_PER_MS },
		{ "s", CLOCK_US_PER_S },
		{ "m", 60 * CLOCK_US_PER_S },
		{ "h", 3600 * CLOCK_US_PER_S },
		{ "d", 86400 * CLOCK_US_PER_S },
	};
	size_t n = text ? strspn(text, "0123456789") : 0;
	uint64_t v = 0;

	if (n < 1 || n > 8)
		return REASON_MALFORMED;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (uint64_t)(text[i] - '0');
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + n, units[i].unit) == 0) {
			*ret_us = v * units[i].us; /* at most 10^8 days: fits */
			return 0;
		}
	}
	return REASON_MALFORMED;
}

uint64_t
clock_backoff_us(unsigned tries, uint64_t base_us, uint64_t cap_us)
{
	uint64_t top = base_us, low = base_us / 2, jitter;

	while (tries-- > 0 && top < cap_us)
		top = top > cap_us / 2 ? cap_us : top * 2;
	if (top > cap_us)
		top = cap_us;
	if (top <= low)
		return top;
	fs_random(&jitter, sizeof(jitter));
	return low + jitter % (top - low + 1);
}
