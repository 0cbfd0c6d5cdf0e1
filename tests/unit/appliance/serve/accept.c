/* In which format numbers are answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/scope.h"
#include "appliance/serve/accept.h"

static void
the_format_is_what_accept_likes_best(void **state)
{
	static const struct {
		const char *accept;
		bool openmetrics;
	} rows[] = {
		{ NULL, false },
		{ "", false },
		{ "*/*", false },
		{ "text/plain", false },
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true },
		{ "Application/OpenMetrics-Text", true },
		{ "text/plain;q=0.6, application/openmetrics-text; q=0.5", false },
		{ "application/openmetrics-text;q=0", false },
		{ "application/openmetrics-texts", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (accept_openmetrics(rows[i].accept) != rows[i].openmetrics)
			fail_msg("%s", rows[i].accept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_format_is_what_accept_likes_best),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
