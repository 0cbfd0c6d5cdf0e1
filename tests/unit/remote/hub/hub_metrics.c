/* In which format GET /metrics answers, and what is different in OpenMetrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "remote/hub/hub_metrics.h"

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
		if (hub_metrics_wants_openmetrics(rows[i].accept) != rows[i].openmetrics)
			fail_msg("%s", rows[i].accept);
}

static void
families_of_counters_lose_their_end(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	(void)state;
	hub_metrics_put_openmetrics(&out,
		"# HELP a_total How many.\n# TYPE a_total counter\na_total{x=\"# TYPE b_total\"} 1\n# HELP g The _total.\n# TYPE g gauge\ng 2\n");
	assert_string_equal(buf_text(&out),
		"# HELP a How many.\n# TYPE a counter\na_total{x=\"# TYPE b_total\"} 1\n# HELP g The _total.\n# TYPE g gauge\ng 2\n# EOF\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_format_is_what_accept_likes_best),
		cmocka_unit_test(families_of_counters_lose_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
