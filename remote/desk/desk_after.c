#include "remote/desk/desk_after.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"

enum { EARLY_S = 5 }; /* the answer takes a moment to the hub, and what it broke may be seen before */

/* When it began by the hub's clock; 0: that cannot be told. */
static int64_t
began_us(const json_t *alert)
{
	int64_t offset_ms = json_integer_value(json_object_get(alert, "clock_offset_ms"));
	uint64_t since;

	if (clock_parse(&since, json_text(alert, "since")) != 0)
		return 0;
	return (int64_t)since - offset_ms * (int64_t)CLOCK_US_PER_MS;
}

/* The operation that ended last before it, on its service. */
static const json_t *
find(const json_t *alert, const json_t *changes, int64_t *ret_s)
{
	const char *service = json_text(alert, "service");
	const json_t *one, *best = NULL;
	int64_t began = began_us(alert);
	size_t i;

	json_array_foreach(changes, i, one) {
		uint64_t ended;
		int64_t us;

		if (!*service || strcmp(json_text(one, "service"), service) != 0 ||
			clock_parse(&ended, json_text(one, "time")) != 0)
			continue;
		us = began - (int64_t)ended;
		if (us < -EARLY_S * (int64_t)CLOCK_US_PER_S || us > DESK_AFTER_S * (int64_t)CLOCK_US_PER_S)
			continue;
		us = us < 0 ? 0 : us / (int64_t)CLOCK_US_PER_S;
		if (best && us >= *ret_s)
			continue;
		best = one;
		*ret_s = us;
	}
	return best;
}

int
desk_after_mark(json_t *alerts, const json_t *changes)
{
	json_t *alert;
	size_t i;

	json_array_foreach(alerts, i, alert) {
		int64_t s = 0;
		const json_t *one = find(alert, changes, &s);

		if (one && json_object_set_new(alert, "after", json_pack("{s:I, s:s}", "seconds", (json_int_t)s, "what",
								       json_text(one, "what"))) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}
