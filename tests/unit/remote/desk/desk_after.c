/* Which alerts began soon after an operation on their service. */
#include "remote/desk/desk_after.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"

static void
test_what_began_soon_after(void **state)
{
	static const struct {
		const char *name, *service, *since;
		int offset_ms;
		int seconds; /* -1: it is of its own making */
		const char *what;
	} rows[] = {
		{ "eight seconds after", "redis", "2026-11-21T20:00:08.900Z", 0, 8, "redis restart by ann (r-1)" },
		{ "a minute after", "redis", "2026-11-21T20:01:00.000Z", 0, 60, "redis restart by ann (r-1)" },
		{ "later", "redis", "2026-11-21T20:01:00.001Z", 0, -1, NULL },
		{ "just before its answer came", "redis", "2026-11-21T19:59:56.000Z", 0, 0, "redis restart by ann (r-1)" },
		{ "before it", "redis", "2026-11-21T19:59:54.000Z", 0, -1, NULL },
		{ "the site's clock is an hour ahead", "redis", "2026-11-21T21:00:08.000Z", 3600 * 1000, 8,
			"redis restart by ann (r-1)" },
		{ "of two the last", "redis", "2026-11-21T21:00:40.000Z", 0, 10, "redis flush by eve (r-3)" },
		{ "of another service", "nginx", "2026-11-21T20:00:08.000Z", 0, -1, NULL },
		{ "of the host", "", "2026-11-21T20:00:08.000Z", 0, -1, NULL },
		{ "at no time", "redis", "soon", 0, -1, NULL },
	};
	SCOPED_JSON *changes = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s}]",
		"what", "redis restart by ann (r-1)", "service", "redis", "time", "2026-11-21T20:00:00.000Z",
		"what", "redis restart by ann (r-2)", "service", "redis", "time", "2026-11-21T21:00:00.000Z",
		"what", "redis flush by eve (r-3)", "service", "redis", "time", "2026-11-21T21:00:30.000Z",
		"what", "redis 1 -> 2", "time", "2026-11-21T20:00:07.000Z");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *alerts = json_pack("[{s:s, s:s, s:i}]", "service", rows[i].service, "since", rows[i].since,
			"clock_offset_ms", rows[i].offset_ms);
		const json_t *after;

		assert_int_equal(desk_after_mark(alerts, changes), 0);
		after = json_object_get(json_array_get(alerts, 0), "after");
		if ((after == NULL) != (rows[i].seconds < 0))
			fail_msg("%s", rows[i].name);
		if (after && (json_integer_value(json_object_get(after, "seconds")) != rows[i].seconds ||
				     strcmp(json_text(after, "what"), rows[i].what) != 0))
			fail_msg("%s: %s", rows[i].name, json_text(after, "what"));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_began_soon_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
