/* Rules, with time given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule.h"

#define S(n)	(1000 * CLOCK_US_PER_S + (uint64_t)((n) * (double)CLOCK_US_PER_S))
#define SERVICE "redis"

static const struct rule down = { .service = SERVICE, .name = "down", .metric = "redis_up", .bound = 1,
	.for_us = 4 * CLOCK_US_PER_S, .severity = "critical", .text = "Redis is down" };
static const struct rule full = { .service = SERVICE, .name = "full", .metric = "used", .above = true,
	.bound = 90, .severity = "warning" };

static void
tell(const struct rule_alert *alert, void *arg)
{
	buf_printf(arg, "%s %s since %llu at %g; ", alert->rule->name,
		alert->firing ? "firing" : "resolved",
		(unsigned long long)(alert->since_us / CLOCK_US_PER_S - 1000), alert->value);
}

static const struct row {
	const char *name;
	struct {
		double at_s, value;
	} feed[8];
	const char *told;
} rows[] = {
	{ "good numbers tell nothing", { { 0, 1 }, { 2, 1 } }, "" },
	{ "a short dip tells nothing", { { 0, 1 }, { 2, 0 }, { 4, 0 }, { 5, 1 } }, "" },
	{ "what lasts fires once", { { 1, 0 }, { 3, 0 }, { 5, 0 }, { 7, 0 } }, "down firing since 5 at 0; " },
	{ "a dip begins its span anew", { { 0, 0 }, { 3, 1 }, { 4, 0 }, { 7, 0 } }, "" },
	{ "a good number after silence resolves at once only when it lasts",
		{ { 0, 0 }, { 4, 0 }, { 6, 1 } }, "down firing since 4 at 0; " },
	{ "good for half the span resolves", { { 0, 0 }, { 4, 0 }, { 6, 1 }, { 8, 1 } },
		"down firing since 4 at 0; down resolved since 4 at 1; " },
	{ "flutter about the bound is one alert",
		{ { 0, 0 }, { 4, 0 }, { 5, 1 }, { 6, 0 }, { 7, 1 }, { 8, 0 } }, "down firing since 4 at 0; " },
	{ "a clock set back begins the span anew", { { 8, 0 }, { 4, 0 }, { 7, 0 }, { 8, 0 } },
		"down firing since 8 at 0; " },
	{ "what is no number is no alarm", { { 0, NAN }, { 5, NAN } }, "" },
};

static void
one_rule_row_by_row(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(4096);
		SCOPED(rule_freep) struct rule_set *s = NULL;

		assert_int_equal(rule_new(&s, tell, &told), 0);
		assert_int_equal(rule_load(s, &down, 1, S(0)), 0);
		for (j = 0; j < ARRAY_LEN(rows[i].feed) && (j == 0 || rows[i].feed[j].at_s > 0); j++)
			rule_feed(s, SERVICE, "redis_up", rows[i].feed[j].value,
				S(rows[i].feed[j].at_s));
		if (strcmp(buf_text(&told), rows[i].told) != 0)
			fail_msg("%s: \"%s\"", rows[i].name, buf_text(&told));
	}
}

static void
without_a_span_it_fires_and_resolves_at_once(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = NULL;

	(void)state;
	assert_int_equal(rule_new(&s, tell, &told), 0);
	assert_int_equal(rule_load(s, &full, 1, S(0)), 0);
	rule_feed(s, SERVICE, "used", 90, S(1));
	rule_feed(s, SERVICE, "used", 91, S(2));
	rule_feed(s, "other", "used", 1, S(3));
	rule_feed(s, SERVICE, "other", 1, S(3));
	rule_feed(s, SERVICE, "used", 90, S(4));
	assert_string_equal(buf_text(&told),
		"full firing since 2 at 91; full resolved since 2 at 90; ");
}

static void
states_survive_a_restart(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *before = NULL, *after = NULL;
	const struct rule both[] = { down, full };
	SCOPED_JSON *saved = NULL;

	(void)state;
	assert_int_equal(rule_new(&before, tell, &told), 0);
	assert_int_equal(rule_load(before, both, 2, S(0)), 0);
	assert_false(rule_changed(before));
	rule_feed(before, SERVICE, "used", 91, S(1));
	rule_feed(before, SERVICE, "redis_up", 0, S(1));
	assert_true(rule_changed(before));
	assert_false(rule_changed(before));
	saved = rule_save(before);
	assert_int_equal(json_array_size(saved), 2);
	buf_reset(&told);

	assert_int_equal(rule_new(&after, tell, &told), 0);
	assert_int_equal(rule_load(after, both, 2, S(10)), 0);
	assert_int_equal(rule_restore(after, saved), 0);
	rule_each_firing(after, tell, &told);
	assert_string_equal(buf_text(&told), "full firing since 1 at 91; ");
	buf_reset(&told);
	rule_feed(after, SERVICE, "used", 92, S(11));    /* still: not told again */
	rule_feed(after, SERVICE, "redis_up", 0, S(11)); /* bad since 1 */
	assert_string_equal(buf_text(&told), "down firing since 11 at 0; ");
}

static void
a_rule_that_goes_resolves_its_alert(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = NULL;
	const struct rule both[] = { full, down };

	(void)state;
	assert_int_equal(rule_new(&s, tell, &told), 0);
	assert_int_equal(rule_load(s, &full, 1, S(0)), 0);
	rule_feed(s, SERVICE, "used", 91, S(2));
	assert_int_equal(rule_load(s, both, 2, S(3)), 0); /* kept: nothing to tell */
	rule_feed(s, SERVICE, "used", 91, S(4));
	assert_int_equal(rule_load(s, &down, 1, S(5)), 0);
	assert_string_equal(buf_text(&told),
		"full firing since 2 at 91; full resolved since 2 at 91; ");
}

static const struct bad_row {
	const char *name, *json;
	int reason;
} bad_rows[] = {
	{ "no bound", "{\"name\":\"a\",\"metric\":\"m\",\"op\":\"below\"}", REASON_MALFORMED },
	{ "no such comparison", "{\"name\":\"a\",\"metric\":\"m\",\"op\":\"near\",\"value\":1}",
		REASON_MALFORMED },
	{ "a span that is none", "{\"name\":\"a\",\"metric\":\"m\",\"op\":\"below\",\"value\":1,"
		"\"for\":\"soon\"}", REASON_MALFORMED },
	{ "a member that is none", "{\"name\":\"a\",\"metric\":\"m\",\"op\":\"below\",\"value\":1,"
		"\"page\":true}", REASON_UNKNOWN_FIELD },
};

static void
alerts_of_a_definition(void **state)
{
	SCOPED_JSON *good = json_loads("{\"name\":\"a\",\"metric\":\"m\",\"op\":\"above\",\"value\":-5,"
		"\"for\":\"10s\",\"severity\":\"info\",\"text\":\"t\"}", 0, NULL);
	struct rule rule = { .bound = 77 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad_rows); i++) {
		SCOPED_JSON *doc = json_loads(bad_rows[i].json, 0, NULL);
		uint64_t before = refuse_count((enum reason)bad_rows[i].reason);
		int r = rule_read(&rule, SERVICE, doc);

		if (r != bad_rows[i].reason || refuse_count((enum reason)r) != before + 1)
			fail_msg("%s: %d", bad_rows[i].name, r);
	}
	assert_int_equal(rule_read(&rule, SERVICE, good), 0);
	assert_string_equal(rule.service, SERVICE);
	assert_true(rule.above);
	assert_int_equal(rule.bound, -5);
	assert_int_equal(rule.for_us, 10 * CLOCK_US_PER_S);
}

static void
too_many_rules_and_damaged_states_are_refused(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = NULL;
	SCOPED_JSON *no_list = json_object();
	SCOPED_JSON *no_state = json_loads("[{\"service\":\"redis\",\"name\":\"full\",\"metric\":\"used\","
		"\"op\":\"above\",\"bound\":90,\"value\":\"91\",\"state\":\"asleep\",\"bad\":true,"
		"\"turn\":\"2026-11-21T20:30:00Z\",\"fired\":\"2026-11-21T20:30:00Z\"}]", 0, NULL);

	(void)state;
	assert_int_equal(rule_new(&s, tell, &told), 0);
	assert_int_equal(rule_load(s, &full, 1, S(0)), 0);
	assert_int_equal(rule_load(s, NULL, RULE_MAX + 1, S(0)), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(rule_restore(s, no_list), REASON_MALFORMED);
	assert_int_equal(rule_restore(s, no_state), REASON_MALFORMED);
	rule_feed(s, SERVICE, "used", 91, S(2)); /* the rule stands as it was */
	assert_string_equal(buf_text(&told), "full firing since 2 at 91; ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_rule_row_by_row),
		cmocka_unit_test(without_a_span_it_fires_and_resolves_at_once),
		cmocka_unit_test(states_survive_a_restart),
		cmocka_unit_test(a_rule_that_goes_resolves_its_alert),
		cmocka_unit_test(alerts_of_a_definition),
		cmocka_unit_test(too_many_rules_and_damaged_states_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
