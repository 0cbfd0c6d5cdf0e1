#include "telemetry/store/store_show.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
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

void
store_show_curve(struct buf *out, const json_t *points)
{
	size_t n = json_array_size(points), width = n < STORE_SHOW_WIDTH ? n : STORE_SHOW_WIDTH;
	double low = NAN, high = NAN;

	for (size_t i = 0; i < n; i++) {
		low = fmin(low, value_at(points, i));
		high = fmax(high, value_at(points, i));
	}
	for (size_t x = 0; x < width; x++) {
		double top = NAN;

		for (size_t i = x * n / width; i < (x + 1) * n / width; i++)
			top = fmax(top, value_at(points, i));
		if (isnan(top))
			buf_puts(out, " ");
		else
			buf_puts(out, levels[high > low ? (size_t)((top - low) / (high - low) * 7.999) : 3]);
	}
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

	if (!safe) {
		out->error = -1;
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
