#include "telemetry/store/store_show.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

static const char *const levels[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };

static double
value_at(const json_t *points, size_t i)
{
	const json_t *v = json_array_get(json_array_get(points, i), 1);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

static bool
time_at(const json_t *points, size_t i, uint64_t *ret_us)
{
	const char *text = json_string_value(json_array_get(json_array_get(points, i), 0));

	return text && clock_parse(ret_us, text) == 0;
}

/* The scale of a curve's columns: what the first point's time is, and how much one column shows; 0 where the times are none, or do
 * not ascend: then points stand beside each other. */
struct scale {
	uint64_t first_us, column_us;
	size_t width;
};

static struct scale
scale_of(const json_t *points)
{
	size_t n = json_array_size(points), slots;
	struct scale s = { .width = n < STORE_SHOW_WIDTH ? n : STORE_SHOW_WIDTH };
	uint64_t was = 0, is = 0, least = UINT64_MAX;

	if (n < 2 || !time_at(points, 0, &s.first_us))
		return s;
	was = s.first_us;
	for (size_t i = 1; i < n; i++, was = is) {
		if (!time_at(points, i, &is) || is <= was)
			return s;
		least = is - was < least ? is - was : least;
	}
	/* A gap is as wide as what is missing. */
	slots = (is - s.first_us) / least < STORE_SHOW_WIDTH ? (size_t)((is - s.first_us) / least) + 1 : STORE_SHOW_WIDTH;
	s.width = slots;
	s.column_us = (is - s.first_us) / slots + 1;
	return s;
}

void
store_show_curve(struct buf *out, const json_t *points)
{
	size_t n = json_array_size(points);
	double low = NAN, high = NAN, tops[STORE_SHOW_WIDTH];
	struct scale s = scale_of(points);
	uint64_t us;

	for (size_t x = 0; x < s.width; x++)
		tops[x] = NAN;
	for (size_t i = 0; i < n; i++) {
		double v = value_at(points, i);
		size_t x = s.column_us && time_at(points, i, &us) ? (size_t)((us - s.first_us) / s.column_us) : i * s.width / n;

		low = fmin(low, v);
		high = fmax(high, v);
		tops[x] = fmax(tops[x], v);
	}
	for (size_t x = 0; x < s.width; x++)
		if (isnan(tops[x]))
			buf_puts(out, " ");
		else
			buf_puts(out, levels[high > low ? (size_t)((tops[x] - low) / (high - low) * 7.999) : 3]);
}

const char *
store_show_number(char out[32], double v)
{
	static const char marks[] = { '\0', 'k', 'M', 'G', 'T', 'P' };
	size_t i = 0;

	while (fabs(v) >= 10000 && i + 1 < sizeof(marks)) {
		v /= 1000;
		i++;
	}
	(void)snprintf(out, 32, "%.4g%c", v, marks[i]);
	return out;
}

void
store_show_record(struct buf *out, const json_t *record, bool color)
{
	static const char *const names[] = { "-", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
	static const char *const colors[] = { "", "", "", "", "\033[33m", "\033[31m", "\033[31m" };
	const json_t *body = json_object_get(record, "body");
	json_int_t severity = json_integer_value(json_object_get(record, "severity"));
	SCOPED(scope_free) char *dump = json_is_string(body) ? NULL : json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *text = dump ? dump : json_string_value(body);
	size_t room = 4 * strlen(text ? text : "") + 1;
	SCOPED(scope_free) char *safe = malloc(room);
	char time[64], service[512];

	if (!safe || (body && !text)) {
		out->error = FAULT(-ENOMEM);
		return;
	}
	if (severity < 0 || severity > 24)
		severity = 0;
	severity = (severity + 3) / 4;
	color = color && colors[severity][0];
	buf_printf(out, "%s  %s%-5s%s  %s  %s", log_escape(time, sizeof(time), json_text(record, "time")), color ? colors[severity] : "",
		names[severity], color ? "\033[0m" : "", log_escape(service, sizeof(service), json_text(record, "service")), log_escape(safe, room, text ? text : ""));
}

void
store_show_escape(struct buf *out, const char *value)
{
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		if (isalnum(*p) || strchr("-_.~", *p))
			buf_u8(out, *p);
		else
			buf_printf(out, "%%%02X", *p);
	}
}
