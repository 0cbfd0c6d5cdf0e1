/* What of GET /metrics is different in OpenMetrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "remote/hub/hub_metrics.h"

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
		cmocka_unit_test(families_of_counters_lose_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
