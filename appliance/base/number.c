#include "appliance/base/number.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/refuse.h"

/* Digits at *text; *text then stands behind them. */
static int
digits(uint64_t *ret, const char **text, uint64_t max)
{
	const char *p = *text;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return REASON_MALFORMED;
	if (p[0] == '0' && p[1] >= '0' && p[1] <= '9')
		return REASON_MALFORMED;
	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t d = (uint64_t)(*p - '0');

		if (v > (UINT64_MAX - d) / 10)
			return REASON_MALFORMED;
		v = v * 10 + d;
	}
	if (v > max)
		return REASON_MALFORMED;
	*ret = v;
	*text = p;
	return 0;
}

int
number_u64(uint64_t *ret, const char *text, uint64_t max)
{
	uint64_t v;

	if (!text || digits(&v, &text, max) != 0 || *text)
		return REASON_MALFORMED;
	*ret = v;
	return 0;
}

int
number_i64(int64_t *ret, const char *text, int64_t min, int64_t max)
{
	bool negative = text && *text == '-';
	uint64_t v;
	int64_t n;

	if (!text)
		return REASON_MALFORMED;
	if (negative)
		text++;
	if (digits(&v, &text, (uint64_t)INT64_MAX + negative) != 0 || *text)
		return REASON_MALFORMED;
	if (negative && v == 0)
		return REASON_MALFORMED;
	n = negative ? -(int64_t)(v - 1) - 1 : (int64_t)v;
	if (n < min || n > max)
		return REASON_MALFORMED;
	*ret = n;
	return 0;
}

int
number_size(uint64_t *ret, const char *text)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = {
		{ "", 0 },
		{ "b", 0 },
		{ "k", 10 },
		{ "kb", 10 },
		{ "m", 20 },
		{ "mb", 20 },
		{ "g", 30 },
		{ "gb", 30 },
		{ "t", 40 },
		{ "tb", 40 },
	};
	uint64_t v;

	if (!text || digits(&v, &text, UINT64_MAX) != 0)
		return REASON_MALFORMED;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(text, units[i].unit) != 0)
			continue;
		if (v > UINT64_MAX >> units[i].shift)
			return REASON_MALFORMED;
		*ret = v << units[i].shift;
		return 0;
	}
	return REASON_MALFORMED;
}

const char *
number_size_text(char out[NUMBER_SIZE_MAX], uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	size_t i = 0;

	while (bytes > 0 && bytes % 1024 == 0 && i + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(out, NUMBER_SIZE_MAX, "%llu %s", (unsigned long long)bytes, units[i]);
	return out;
}
