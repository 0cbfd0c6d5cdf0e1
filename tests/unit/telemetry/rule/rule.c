/* Rules, with time given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/rule/rule.h"

#define S(n)	(100000 * CLOCK_US_PER_S + (uint64_t)((n) * (double)CLOCK_US_PER_S))
#define SERVICE "redis"

#define DOWN "{\"name\":\"down\",\"metric\":\"redis_up\",\"op\":\"below\",\"value\":1,\"for\":\"4s\",\"severity\":\"critical\"}"
#define FULL "{\"name\":\"full\",\"metric\":\"used\",\"op\":\"above\",\"value\":90}"
#define HIGH "{\"name\":\"high\",\"metric\":\"m\",\"op\":\"above\",\"value\":\"0.9\",\"clear\":\"0.5\"}"
#define SAME "{\"name\":\"same\",\"metric\":\"m\",\"op\":\"equal\",\"value\":3}"
#define OTHER "{\"name\":\"other\",\"metric\":\"m\",\"op\":\"not-equal\",\"value\":3}"
#define CHANGED "{\"name\":\"changed\",\"metric\":\"m\",\"change\":true,\"for\":\"10s\"}"
#define GONE "{\"name\":\"gone\",\"metric\":\"m\",\"absent\":\"20s\"}"
#define FAST "{\"name\":\"fast\",\"metric\":\"m\",\"op\":\"above\",\"value\":5,\"rate\":{\"per\":\"1m\",\"over\":\"1m\"}}"
#define SLOW "{\"name\":\"slow\",\"metric\":\"m\",\"op\":\"below\",\"value\":5,\"rate\":{\"per\":\"1m\",\"over\":\"1m\"}}"

static void
tell(const struct rule_alert *alert, void *arg)
{
	buf_printf(arg, "%s%s%s%s %s%s%s since %llu at %g; ", alert->rule->name, *alert->group ? "{" : "",
		alert->group, *alert->group ? "}" : "", rule_told_text(alert->told), *alert->muted_by ? " by " : "",
		alert->muted_by, (unsigned long long)(alert->since_us / CLOCK_US_PER_S - 100000), alert->value);
}

/* A set of these rules (an array as text). */
static struct rule_set *
set_of(const char *text, struct buf *told, uint64_t now_us)
{
	SCOPED_JSON *list = json_loads(text, 0, NULL);
	struct rule *rules[16];
	struct rule_set *s;
	size_t n = json_array_size(list);

	assert_non_null(list);
	assert_int_equal(rule_new(&s, tell, told), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rule_read(&rules[i], SERVICE, json_array_get(list, i)), 0);
	assert_int_equal(rule_load(s, rules, n, now_us), 0);
	for (size_t i = 0; i < n; i++)
		rule_unref(rules[i]);
	return s;
}

static void
load(struct rule_set *s, const char *text, uint64_t now_us)
{
	SCOPED_JSON *list = json_loads(text, 0, NULL);
	struct rule *rules[16];
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(rule_read(&rules[i], SERVICE, json_array_get(list, i)), 0);
	assert_int_equal(rule_load(s, rules, n, now_us), 0);
	for (size_t i = 0; i < n; i++)
		rule_unref(rules[i]);
}

#define TICK (-12345)

static const struct row {
	const char *name, *rule, *metric;
	struct {
		double at_s, value; /* TICK: time passes */
	} feed[12];
	const char *told;
} rows[] = {
	{ "good numbers tell nothing", DOWN, "redis_up", { { 0, 1 }, { 2, 1 } }, "" },
	{ "a short dip tells nothing", DOWN, "redis_up", { { 0, 1 }, { 2, 0 }, { 4, 0 }, { 5, 1 } }, "" },
	{ "what lasts fires once", DOWN, "redis_up", { { 1, 0 }, { 3, 0 }, { 5, 0 }, { 7, 0 } },
		"down firing since 5 at 0; " },
	{ "a dip begins its span anew", DOWN, "redis_up", { { 0, 0 }, { 3, 1 }, { 4, 0 }, { 7, 0 } }, "" },
	{ "a good number after silence resolves at once only when it lasts", DOWN, "redis_up",
		{ { 0, 0 }, { 4, 0 }, { 6, 1 } }, "down firing since 4 at 0; " },
	{ "good for half the span resolves", DOWN, "redis_up", { { 0, 0 }, { 4, 0 }, { 6, 1 }, { 8, 1 } },
		"down firing since 4 at 0; down resolved since 4 at 1; " },
	{ "flutter about the bound is one alert", DOWN, "redis_up",
		{ { 0, 0 }, { 4, 0 }, { 5, 1 }, { 6, 0 }, { 7, 1 }, { 8, 0 } }, "down firing since 4 at 0; " },
	{ "a clock set back begins the span anew", DOWN, "redis_up", { { 8, 0 }, { 4, 0 }, { 7, 0 }, { 8, 0 } },
		"down firing since 8 at 0; " },
	{ "what is no number is no alarm", DOWN, "redis_up", { { 0, NAN }, { 5, NAN } }, "" },
	{ "what is no number ends none", DOWN, "redis_up", { { 0, 0 }, { 4, 0 }, { 6, NAN }, { 20, NAN } },
		"down firing since 4 at 0; " },
	{ "time alone moves no threshold", DOWN, "redis_up", { { 0, 0 }, { 20, TICK }, { 900, TICK } }, "" },
	{ "a decimal bound, left only beyond clear", HIGH, "m",
		{ { 1, 0.9 }, { 2, 0.91 }, { 3, 0.6 }, { 4, 0.5 }, { 5, 0.8 } },
		"high firing since 2 at 0.91; high resolved since 2 at 0.5; " },
	{ "equal", SAME, "m", { { 1, 2 }, { 2, 3 }, { 3, 4 } }, "same firing since 2 at 3; same resolved since 2 at 4; " },
	{ "not equal", OTHER, "m", { { 1, 3 }, { 2, 2 }, { 3, 3 } },
		"other firing since 2 at 2; other resolved since 2 at 3; " },
	{ "a change fires until it has stayed", CHANGED, "m",
		{ { 1, 7 }, { 2, 7 }, { 3, 8 }, { 4, 8 }, { 10, 8 }, { 13, TICK }, { 14, TICK } },
		"changed firing since 3 at 8; changed resolved since 3 at 8; " },
	{ "another change goes on with it", CHANGED, "m",
		{ { 1, 7 }, { 3, 8 }, { 9, 9 }, { 10, TICK }, { 15, TICK }, { 20, TICK } },
		"changed firing since 3 at 8; changed resolved since 3 at 9; " },
	{ "what is named is missed though it never came", GONE, "m", { { 15, TICK }, { 19, TICK }, { 20, TICK } },
		"gone firing since 20 at 0; " },
	{ "what comes again is not missed", GONE, "m",
		{ { 5, 1 }, { 24, TICK }, { 25, TICK }, { 26, 1 }, { 60, TICK } },
		"gone firing since 25 at 1; gone resolved since 25 at 1; gone firing since 60 at 1; " },
	{ "what comes in time is not missed", GONE, "m", { { 5, 1 }, { 24, TICK }, { 24, 1 }, { 43, TICK } }, "" },
	{ "growth above a bound fires before the window is full", FAST, "m", { { 0, 10 }, { 2, 15 }, { 4, 16 } },
		"fast firing since 4 at 6; " },
	{ "a counter that began again did not shrink", FAST, "m",
		{ { 0, 100 }, { 15, 102 }, { 30, 1 }, { 45, 2 }, { 60, 2 }, { 75, 6 } },
		"fast firing since 75 at 6; " },
	{ "growth of long ago is past", FAST, "m",
		{ { 0, 0 }, { 1, 20 }, { 16, 20 }, { 31, 20 }, { 46, 20 }, { 61, 20 }, { 77, 20 } },
		"fast firing since 1 at 20; fast resolved since 1 at 0; " },
	{ "growth below a bound is not known before the window is full", SLOW, "m",
		{ { 0, 0 }, { 20, 0 }, { 40, 1 }, { 59, 1 }, { 61, 1 } }, "slow firing since 61 at 0.983607; " },
	{ "after a gap growth has no place", FAST, "m", { { 0, 0 }, { 10, 1 }, { 100, 100 }, { 110, 101 } }, "" },
	{ "a clock set back begins the window anew", FAST, "m", { { 50, 0 }, { 60, 1 }, { 20, 100 }, { 30, 101 } }, "" },
};

static void
one_rule_row_by_row(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(4096);
		SCOPED(rule_freep) struct rule_set *s = NULL;
		char list[512];

		(void)snprintf(list, sizeof(list), "[%s]", rows[i].rule);
		s = set_of(list, &told, S(0));
		for (j = 0; j < ARRAY_LEN(rows[i].feed) && (j == 0 || rows[i].feed[j].at_s > 0); j++) {
			if (rows[i].feed[j].value < TICK + 1 && rows[i].feed[j].value > TICK - 1)
				rule_tick(s, S(rows[i].feed[j].at_s));
			else
				rule_feed(s, SERVICE, rows[i].metric, NULL, 0, rows[i].feed[j].value,
					S(rows[i].feed[j].at_s));
		}
		if (strcmp(buf_text(&told), rows[i].told) != 0)
			fail_msg("%s: \"%s\"", rows[i].name, buf_text(&told));
	}
}

static void
without_a_span_it_fires_and_resolves_at_once(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" FULL "]", &told, S(0));

	(void)state;
	rule_feed(s, SERVICE, "used", NULL, 0, 90, S(1));
	rule_feed(s, SERVICE, "used", NULL, 0, 91, S(2));
	rule_feed(s, "other", "used", NULL, 0, 1, S(3));
	rule_feed(s, SERVICE, "other", NULL, 0, 1, S(3));
	rule_feed(s, SERVICE, "used", NULL, 0, 90, S(4));
	assert_string_equal(buf_text(&told),
		"full firing since 2 at 91; full resolved since 2 at 90; ");
}

static void
states_survive_a_restart(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *before = set_of("[" DOWN "," FULL "]", &told, S(0));
	SCOPED(rule_freep) struct rule_set *after = NULL;
	SCOPED_JSON *saved = NULL;

	(void)state;
	assert_false(rule_changed(before));
	rule_feed(before, SERVICE, "used", NULL, 0, 91, S(1));
	rule_feed(before, SERVICE, "redis_up", NULL, 0, 0, S(1));
	assert_true(rule_changed(before));
	assert_false(rule_changed(before));
	saved = rule_save(before);
	assert_int_equal(json_array_size(saved), 2);
	buf_reset(&told);

	after = set_of("[" DOWN "," FULL "]", &told, S(10));
	assert_int_equal(rule_restore(after, saved, S(10)), 0);
	rule_each_firing(after, tell, &told);
	assert_string_equal(buf_text(&told), "full firing since 1 at 91; ");
	buf_reset(&told);
	rule_feed(after, SERVICE, "used", NULL, 0, 92, S(11));    /* still: not told again */
	rule_feed(after, SERVICE, "redis_up", NULL, 0, 0, S(11)); /* bad since 1 */
	assert_string_equal(buf_text(&told), "down firing since 11 at 0; ");
}

static void
a_rule_that_goes_resolves_its_alert(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" FULL "]", &told, S(0));

	(void)state;
	rule_feed(s, SERVICE, "used", NULL, 0, 91, S(2));
	load(s, "[" FULL "," DOWN "]", S(3)); /* kept: nothing to tell */
	rule_feed(s, SERVICE, "used", NULL, 0, 91, S(4));
	load(s, "[" DOWN "]", S(5));
	assert_string_equal(buf_text(&told),
		"full firing since 2 at 91; full resolved since 2 at 91; ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_rule_row_by_row),
		cmocka_unit_test(without_a_span_it_fires_and_resolves_at_once),
		cmocka_unit_test(states_survive_a_restart),
		cmocka_unit_test(a_rule_that_goes_resolves_its_alert),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
