/* The files that say what alerts do on numbers: those of the shipped services, and what such a file may hold. */
#include "telemetry/rule/rule_test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule_own.h"
#include "telemetry/rule/rule_values.h"
#include "tests/fakes/scratch.h"

static void
on_difference(const struct rule_difference *d, void *arg)
{
	buf_printf(arg, "%s at %llu: %s, not %s\n", d->test, (unsigned long long)(d->at_us / CLOCK_US_PER_S),
		d->got, d->expected);
}

static void
alerts_of_the_shipped_services(void **state)
{
	static const char *const services[] = { "redis", "nginx", "nats", "postgresql" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		SCOPED(buf_done) struct buf said = BUF_MAX(65536);
		char path[128];
		size_t n = 0;

		(void)snprintf(path, sizeof(path), "packaging/services/%s/alerts.test.yaml", services[i]);
		assert_int_equal(rule_test_file(path, on_difference, &said, &n), 0);
		if (said.len > 0)
			fail_msg("%s: %s", services[i], buf_text(&said));
		assert_in_range(n, 5, 100);
	}
}

#define RULES                                                                                      \
	"rules:\n  - {service: host, name: Full, metric: free, by: [device], op: below, value: 5, text: \"{label.device}\"}\n"
#define HEAD "rules: r.yaml\ninterval: 2s\ntests:\n"
#define SERIES "    series: [{metric: free, service: host, labels: {device: sda}, values: \"9 4x5\"}]\n"

static void
a_difference_is_told(void **state)
{
	static const char text[] = HEAD "  - name: one\n" SERIES
					"    expect:\n"
					"      - {at: 0s, firing: [Full]}\n"
					"      - {at: 2s, firing: ['Full{device=\"sda\"}']}\n"
					"      - {at: 4s}\n"
					"      - {at: 6s, muted: [Other], firing: ['Full{device=\"sda\"}']}\n";
	SCOPED(buf_done) struct buf said = BUF_MAX(4096);
	struct scratch dir;
	char path[128];
	size_t n = 0;

	(void)state;
	scratch_make(&dir);
	scratch_write(&dir, "r.yaml", RULES, strlen(RULES));
	scratch_write(&dir, "t.yaml", text, strlen(text));
	(void)snprintf(path, sizeof(path), "%s/t.yaml", dir.path);
	assert_int_equal(rule_test_file(path, on_difference, &said, &n), 0);
	assert_int_equal(n, 4);
	assert_string_equal(buf_text(&said),
		"one at 0: nothing, not Full firing\n"
		"one at 4: Full{device=\"sda\"} firing, not nothing\n"
		"one at 6: Full{device=\"sda\"} firing, not Full{device=\"sda\"} firing; Other muted\n");
	scratch_remove(&dir);
}

static const struct {
	const char *name, *text;
	enum reason reason;
	const char *says;
} bad[] = {
	{ "no mapping", "[]\n", REASON_MALFORMED, "must be a mapping" },
	{ "an unknown member", "rules: r.yaml\ntest: []\n", REASON_UNKNOWN_FIELD, "did you mean \"tests\"" },
	{ "no rules", "tests: []\n", REASON_MALFORMED, "one of definition and rules" },
	{ "rules that are not there", "rules: none.yaml\ntests: []\n", REASON_NOT_FOUND, "cannot be read" },
	{ "a definition that is not there", "definition: none.yaml\n", REASON_NOT_FOUND, "cannot be read" },
	{ "rules that are no text", "rules: [a]\n", REASON_MALFORMED, "must be text" },
	{ "a moment between numbers", "rules: r.yaml\ninterval: 10ms\n", REASON_MALFORMED, "from 1s to 1h" },
	{ "no tests", "rules: r.yaml\n", REASON_MALFORMED, "at least one" },
	{ "no name", HEAD "  - {series: [], expect: []}\n", REASON_MALFORMED, "lacks a member" },
	{ "no series", HEAD "  - {name: a, expect: []}\n", REASON_MALFORMED, "series must be" },
	{ "nothing that is expected", HEAD "  - {name: a, series: []}\n", REASON_MALFORMED, "expect must be" },
	{ "a series without a service", HEAD "  - {name: a, series: [{metric: m, values: \"1\"}], expect: []}\n",
		REASON_MALFORMED, "lacks a member" },
	{ "values that are none", HEAD "  - {name: a, series: [{metric: m, service: s, values: 1y3}], expect: []}\n",
		REASON_MALFORMED, "of the form" },
	{ "labels that are none",
		HEAD "  - {name: a, series: [{metric: m, service: s, labels: [a], values: \"1\"}], expect: []}\n",
		REASON_MALFORMED, "mapping of at most 8" },
	{ "a label that is none",
		HEAD "  - {name: a, series: [{metric: m, service: s, labels: {a: [b]}, values: \"1\"}], expect: []}\n",
		REASON_MALFORMED, "must be text" },
	{ "an expectation without its time", HEAD "  - {name: a, series: [], expect: [{firing: [A]}]}\n", REASON_MALFORMED,
		"lacks a member" },
	{ "a time that is none", HEAD "  - {name: a, series: [], expect: [{at: soon}]}\n", REASON_MALFORMED, "at must be" },
	{ "a time before the last", HEAD "  - {name: a, series: [], expect: [{at: 9s}, {at: 5s}]}\n", REASON_MALFORMED,
		"at must be" },
	{ "a time too far", HEAD "  - {name: a, series: [], expect: [{at: 3d}]}\n", REASON_MALFORMED, "at must be" },
	{ "alerts that are no list", HEAD "  - {name: a, series: [], expect: [{at: 1s, firing: A}]}\n", REASON_MALFORMED,
		"list of alerts" },
	{ "an alert that is no name", HEAD "  - {name: a, series: [], expect: [{at: 1s, muted: [[A]]}]}\n", REASON_MALFORMED,
		"an alert's name" },
};

static void
what_is_no_such_file_is_refused(void **state)
{
	struct scratch dir;
	char path[128];

	(void)state;
	scratch_make(&dir);
	scratch_write(&dir, "r.yaml", RULES, strlen(RULES));
	(void)snprintf(path, sizeof(path), "%s/t.yaml", dir.path);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t before = refuse_count(bad[i].reason);
		size_t n = 0;
		int r;

		scratch_write(&dir, "t.yaml", bad[i].text, strlen(bad[i].text));
		r = rule_test_file(path, on_difference, NULL, &n);
		if (r != (int)bad[i].reason || refuse_count(bad[i].reason) != before + 1 ||
			!strstr(refuse_last()->text, bad[i].says))
			fail_msg("%s: %d: %s", bad[i].name, r, refuse_last()->text);
	}
	(void)snprintf(path, sizeof(path), "%s/none.yaml", dir.path);
	{
		uint64_t before = refuse_count(REASON_NOT_FOUND);
		size_t n = 0;

		assert_int_equal(rule_test_file(path, on_difference, NULL, &n), REASON_NOT_FOUND);
		assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	}
	scratch_remove(&dir);
}

static void
values_row_by_row(void **state)
{
	static const struct {
		const char *text, *values; /* NULL: none */
	} rows[] = {
		{ "1", "1 " },
		{ "1x3", "1 1 1 1 " },
		{ "0x3", "0 0 0 0 " },
		{ "123456789012345678901234567890123", NULL },
		{ "0+10x3 5-1x2", "0 10 20 30 5 4 3 " },
		{ "_ 2.5 _x2 -3", "_ 2.5 _ _ -3 " },
		{ "", "" },
		{ "1x", NULL },
		{ "x3", NULL },
		{ "1+x3", NULL },
		{ "1x3y", NULL },
		{ "_3", NULL },
		{ "-", NULL },
		{ "1x100000", NULL },
		{ "nan", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(rule_values_done) struct rule_values v = { 0 };
		SCOPED(buf_done) struct buf b = BUF_MAX(1024);
		int r = rule_values_parse(&v, rows[i].text);

		if ((r == 0) != (rows[i].values != NULL))
			fail_msg("%s: %d", rows[i].text, r);
		for (size_t j = 0; j < v.n; j++)
			if (isnan(v.items[j]))
				buf_puts(&b, "_ ");
			else
				buf_printf(&b, "%g ", v.items[j]);
		if (r == 0 && strcmp(buf_text(&b), rows[i].values) != 0)
			fail_msg("%s: %s", rows[i].text, buf_text(&b));
	}
}

static void
own_rules_that_cannot_be_read_change_nothing(void **state)
{
	SCOPED(rule_own_done) struct rule_own own = { 0 };
	struct scratch dir;
	uint64_t before;

	(void)state;
	scratch_make(&dir);
	scratch_write(&dir, "r.yaml", RULES, strlen(RULES));
	assert_int_equal(rule_own_load(&own, dir.path, "r.yaml"), 0);
	assert_int_equal(own.n, 1);
	assert_string_equal(own.rules[0]->service, "host");
	before = refuse_count(REASON_NOT_FOUND);
	assert_int_equal(rule_own_load(&own, dir.path, "none.yaml"), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_int_equal(rule_own_read(&own, "rules: [{name: a}]", 18, "x"), REASON_MALFORMED);
	assert_int_equal(own.n, 1);
	scratch_remove(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alerts_of_the_shipped_services),
		cmocka_unit_test(a_difference_is_told),
		cmocka_unit_test(what_is_no_such_file_is_refused),
		cmocka_unit_test(values_row_by_row),
		cmocka_unit_test(own_rules_that_cannot_be_read_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
