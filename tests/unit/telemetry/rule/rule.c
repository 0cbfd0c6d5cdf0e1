/* Rules, with time given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	assert_non_null(saved);
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

/* --- groups, inhibition, mutes ---------------------------------------------------------------------------- */
#define DISK "{\"name\":\"disk\",\"metric\":\"free\",\"where\":{\"mode\":\"rw\"},\"by\":[\"device\"],\"op\":\"below\",\"value\":5}"

static void
feed_disk(struct rule_set *s, const char *device, const char *mode, const char *part, double value, double at_s)
{
	const struct rule_label labels[] = { { "part", part }, { "device", device }, { "mode", mode } };

	rule_feed(s, SERVICE, "free", labels, 3, value, S(at_s));
}

static void
each_group_is_an_alert_of_its_own(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" DISK "]", &told, S(0));
	const struct rule_label turned[] = { { "device", "sda" }, { "mode", "rw" }, { "part", "1" } };

	(void)state;
	feed_disk(s, "sda", "rw", "1", 4, 1);
	feed_disk(s, "sda", "rw", "2", 9, 1); /* one of the series suffices */
	feed_disk(s, "sdb", "ro", "1", 1, 1); /* where */
	feed_disk(s, "sdb", "rw", "1", 9, 1);
	feed_disk(s, "a\nb", "rw", "1", 1, 2);
	feed_disk(s, "sda", "rw", "2", 3, 3);
	rule_feed(s, SERVICE, "free", turned, 3, 6, S(4)); /* the same series, whatever the labels' order is */
	assert_string_equal(buf_text(&told),
		"disk{device=\"sda\"} firing since 1 at 4; disk{device=\"a\\nb\"} firing since 2 at 1; ");
	feed_disk(s, "sda", "rw", "2", 6, 5);
	assert_non_null(strstr(buf_text(&told), "disk{device=\"sda\"} resolved since 1 at 6; "));
	/* Ten minutes after its last number a group is forgotten. */
	buf_reset(&told);
	rule_tick(s, S(602));
	assert_string_equal(buf_text(&told), "");
	rule_tick(s, S(603));
	assert_string_equal(buf_text(&told), "disk{device=\"a\\nb\"} resolved since 2 at 1; ");
}

static void
a_series_that_went_holds_no_group(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" DISK "]", &told, S(0));

	(void)state;
	feed_disk(s, "sda", "rw", "1", 4, 1);
	feed_disk(s, "sda", "rw", "2", 9, 500);
	rule_tick(s, S(600));
	feed_disk(s, "sda", "rw", "2", 9, 602);
	rule_tick(s, S(602)); /* the bad one is gone */
	feed_disk(s, "sda", "rw", "2", 9, 603);
	assert_string_equal(buf_text(&told),
		"disk{device=\"sda\"} firing since 1 at 4; disk{device=\"sda\"} resolved since 1 at 9; ");
}

static void
more_groups_than_are_watched_are_an_alert(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(65536);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" DISK "]", &told, S(0));
	char long_name[RULE_VALUE_MAX + 2], device[32];

	(void)state;
	for (int i = 0; i < RULE_GROUPS_MAX; i++) {
		(void)snprintf(device, sizeof(device), "d%d", i);
		feed_disk(s, device, "rw", "1", 9, 1);
	}
	assert_string_equal(buf_text(&told), "");
	feed_disk(s, "one-more", "rw", "1", 1, 2);
	feed_disk(s, "one-more", "rw", "1", 1, 3);
	assert_string_equal(buf_text(&told), "AlertGroupsFull{alert=\"disk\"} firing since 2 at 64; ");
	buf_reset(&told);
	rule_tick(s, S(603));
	assert_string_equal(buf_text(&told), "");
	rule_tick(s, S(604));
	assert_string_equal(buf_text(&told), "AlertGroupsFull{alert=\"disk\"} resolved since 2 at 64; ");
	/* A value that is too long for a group is such a series, too. */
	buf_reset(&told);
	(void)snprintf(long_name, sizeof(long_name), "%0*d", RULE_VALUE_MAX + 1, 0);
	feed_disk(s, long_name, "rw", "1", 1, 605);
	assert_non_null(strstr(buf_text(&told), "AlertGroupsFull{alert=\"disk\"} firing"));
}

static void
series_of_one_group_are_bounded(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(65536);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" DISK "]", &told, S(0));
	char part[32];

	(void)state;
	for (int i = 0; i <= RULE_SERIES_MAX; i++) {
		(void)snprintf(part, sizeof(part), "p%d", i);
		feed_disk(s, "sda", "rw", part, 9, 1);
	}
	assert_string_equal(buf_text(&told), "AlertGroupsFull{alert=\"disk\"} firing since 1 at 256; ");
}

#define HIDDEN "{\"name\":\"hidden\",\"metric\":\"m\",\"op\":\"above\",\"value\":5,\"inhibited_by\":[\"down\",\"full\"]}"

static void
an_inhibited_alert_is_told_as_muted(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" HIDDEN "," FULL "]", &told, S(0));

	(void)state;
	rule_feed(s, SERVICE, "m", NULL, 0, 6, S(1));
	rule_feed(s, SERVICE, "used", NULL, 0, 91, S(2));
	rule_feed(s, SERVICE, "used", NULL, 0, 1, S(3));
	rule_feed(s, SERVICE, "used", NULL, 0, 91, S(4));
	rule_feed(s, SERVICE, "m", NULL, 0, 1, S(5));
	assert_string_equal(buf_text(&told),
		"hidden firing since 1 at 6; full firing since 2 at 91; hidden muted by alert full since 1 at 6; "
		"full resolved since 2 at 1; hidden firing since 1 at 6; "
		"full firing since 4 at 91; hidden muted by alert full since 1 at 6; hidden resolved since 1 at 1; ");
}

/* A definition and the customer's own file can do that together; each alone is refused. */
#define RING(name, metric, by) "{\"name\":\"" name "\",\"metric\":\"" metric "\",\"op\":\"above\",\"value\":5,\"inhibited_by\":[\"" by "\"]}"

static void
alerts_that_inhibit_each_other_in_a_circle_are_all_heard(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s =
		set_of("[" RING("a", "m", "b") "," RING("b", "n", "c") "," RING("c", "o", "a") "," RING("d", "p", "a") "]", &told, S(0));

	(void)state;
	rule_feed(s, SERVICE, "m", NULL, 0, 6, S(1));
	rule_feed(s, SERVICE, "n", NULL, 0, 6, S(2));
	rule_feed(s, SERVICE, "o", NULL, 0, 6, S(3));
	rule_feed(s, SERVICE, "p", NULL, 0, 6, S(4)); /* it hangs on the circle, and is none of it */
	assert_string_equal(buf_text(&told), "a firing since 1 at 6; b firing since 2 at 6; c firing since 3 at 6; "
					     "d muted by alert a since 4 at 6; ");
}

/* An hour's absence that has lasted five minutes is not begun anew by a restart. */
static void
an_absence_goes_on_over_a_restart(void **state)
{
	static const char rules[] = "[{\"name\":\"gone\",\"metric\":\"m\",\"absent\":\"1h\"}]";
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of(rules, &told, S(0)), *after = set_of(rules, &told, S(300));
	SCOPED_JSON *saved = NULL;

	(void)state;
	rule_feed(s, SERVICE, "m", NULL, 0, 6, S(0));
	for (unsigned at = 0; at <= 300; at += 30)
		rule_tick(s, S(at));
	assert_true(rule_changed(s));
	saved = rule_save(s);
	assert_non_null(saved);
	assert_int_equal(rule_restore(after, saved, S(300)), 0);
	for (unsigned at = 300; at < 3600; at += 30)
		rule_tick(after, S(at));
	assert_string_equal(buf_text(&told), "");
	rule_tick(after, S(3600));
	assert_non_null(strstr(buf_text(&told), "gone firing"));
}

static void
a_mute_ends_by_itself(void **state)
{
	static const struct rule_mute mutes[] = {
		{ .service = SERVICE, .name = "full", .why = "by hand", .until_us = S(10) },
		{ .service = "other", .why = "update", .until_us = S(10) },
		{ .service = SERVICE, .why = "forever", .until_us = S(0) + RULE_MUTE_MAX_US + 1 },
	};
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" HIGH "," FULL "]", &told, S(0));

	(void)state;
	rule_feed(s, SERVICE, "used", NULL, 0, 91, S(0));
	rule_mute(s, mutes, 3, S(0));
	rule_feed(s, SERVICE, "m", NULL, 0, 1, S(1)); /* the others are heard */
	rule_tick(s, S(9));
	rule_tick(s, S(10));
	assert_string_equal(buf_text(&told), "full firing since 0 at 91; full muted by by hand since 0 at 91; "
					     "high firing since 1 at 1; full firing since 0 at 91; ");
	buf_reset(&told);
	rule_mute(s, mutes, 1, S(5));
	rule_each_firing(s, tell, &told);
	rule_mute(s, NULL, 0, S(6));
	assert_string_equal(buf_text(&told), "full muted by by hand since 0 at 91; high firing since 1 at 1; "
					     "full muted by by hand since 0 at 91; full firing since 0 at 91; ");
}

/* --- words ---------------------------------------------------------------------------------------------------- */
static void
keep_text(const struct rule_alert *alert, void *arg)
{
	buf_printf(arg, "%s|", alert->text);
}

static void
a_text_holds_what_is_so_now(void **state)
{
	static const char text[] = "[{\"name\":\"a\",\"metric\":\"m\",\"where\":{\"z\":\"y\"},\"by\":[\"d\"],\"op\":\"above\","
				   "\"value\":1,\"text\":\"{label.d} of {label.z}: {value} {label.none} {\"}]";
	SCOPED_JSON *list = json_loads(text, 0, NULL);
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = NULL;
	SCOPED(rule_unrefp) struct rule *rule = NULL;
	const struct rule_label labels[] = { { "d", "{value}" }, { "z", "y" } };

	(void)state;
	assert_int_equal(rule_read(&rule, SERVICE, json_array_get(list, 0)), 0);
	assert_string_equal(rule->condition, "m{z=\"y\"} by (d) above 1");
	assert_int_equal(rule_new(&s, keep_text, &told), 0);
	assert_int_equal(rule_load(s, &rule, 1, S(0)), 0);
	rule_feed(s, SERVICE, "m", labels, 2, 2.5, S(1));
	assert_string_equal(buf_text(&told), "{value} of y: 2.5 {label.none} {|");
}

/* --- refusals ---------------------------------------------------------------------------------------------------- */
#define A "{\"name\":\"a\",\"metric\":\"m\","
static const struct bad_row {
	const char *name, *json;
	int reason;
} bad_rows[] = {
	{ "no bound", A "\"op\":\"below\"}", REASON_MALFORMED },
	{ "no comparison", A "\"value\":1}", REASON_MALFORMED },
	{ "no such comparison", A "\"op\":\"near\",\"value\":1}", REASON_MALFORMED },
	{ "a bound that is none", A "\"op\":\"below\",\"value\":\"1e3\"}", REASON_MALFORMED },
	{ "a bound of another kind", A "\"op\":\"below\",\"value\":true}", REASON_MALFORMED },
	{ "an end on the wrong side", A "\"op\":\"below\",\"value\":1,\"clear\":0}", REASON_MALFORMED },
	{ "an end of what is equal", A "\"op\":\"equal\",\"value\":1,\"clear\":1}", REASON_MALFORMED },
	{ "an end that is none", A "\"op\":\"below\",\"value\":1,\"clear\":\"x\"}", REASON_MALFORMED },
	{ "a span that is none", A "\"op\":\"below\",\"value\":1,\"for\":\"soon\"}", REASON_MALFORMED },
	{ "a member that is none", A "\"op\":\"below\",\"value\":1,\"page\":true}", REASON_UNKNOWN_FIELD },
	{ "a severity that is none", A "\"op\":\"below\",\"value\":1,\"severity\":\"bad\"}", REASON_MALFORMED },
	{ "absence with a bound", A "\"absent\":\"1m\",\"value\":1}", REASON_MALFORMED },
	{ "absence and change", A "\"absent\":\"1m\",\"change\":true}", REASON_MALFORMED },
	{ "absence with for", A "\"absent\":\"1m\",\"for\":\"1m\"}", REASON_MALFORMED },
	{ "absence of no span", A "\"absent\":\"x\"}", REASON_MALFORMED },
	{ "a change with a rate", A "\"change\":true,\"rate\":{\"over\":\"1m\"}}", REASON_MALFORMED },
	{ "a rate over nothing", A "\"op\":\"above\",\"value\":1,\"rate\":{}}", REASON_MALFORMED },
	{ "a rate over too little", A "\"op\":\"above\",\"value\":1,\"rate\":{\"over\":\"59s\"}}", REASON_MALFORMED },
	{ "a label without a text", A "\"op\":\"above\",\"value\":1,\"where\":{\"a\":1}}", REASON_MALFORMED },
	{ "by no label", A "\"op\":\"above\",\"value\":1,\"by\":[1]}", REASON_MALFORMED },
	{ "by one label twice", A "\"op\":\"above\",\"value\":1,\"by\":[\"x\",\"x\"]}", REASON_MALFORMED },
	{ "inhibited by itself", A "\"op\":\"above\",\"value\":1,\"inhibited_by\":[\"a\"]}", REASON_MALFORMED },
};

static void
what_is_no_rule_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_rows); i++) {
		SCOPED_JSON *doc = json_loads(bad_rows[i].json, 0, NULL);
		uint64_t before = refuse_count((enum reason)bad_rows[i].reason);
		struct rule *rule = NULL;
		int r = rule_read(&rule, SERVICE, doc);

		if (r != bad_rows[i].reason || rule || refuse_count((enum reason)r) != before + 1)
			fail_msg("%s: %d", bad_rows[i].name, r);
	}
}

#define SAVED(group, state, told, value, series)                                                           \
	"[{\"service\":\"redis\",\"name\":\"fast\",\"condition\":\"rate(m) over 60s per 60s above 5\",\"group\":" group \
	",\"state\":\"" state "\",\"told\":\"" told "\",\"value\":\"" value "\",\"muted_by\":\"\",\"bad\":true,"      \
	"\"turn\":\"2026-11-21T20:30:00Z\",\"fired\":\"2026-11-21T20:30:00Z\",\"series\":[" series "]}]"
#define SERIES(last, spots)                                                                                 \
	"{\"key\":\"\",\"bad\":true,\"last\":\"" last "\",\"seen\":\"2026-11-21T20:30:00Z\",\"total\":\"1\",\"spots\":" spots "}"

static void
damaged_states_are_refused(void **state)
{
	static const char *const damaged[] = {
		"{}",
		SAVED("[]", "asleep", "firing", "1", ""),
		SAVED("[]", "firing", "shouted", "1", ""),
		SAVED("[]", "firing", "firing", "many", ""),
		SAVED("[\"x\"]", "firing", "firing", "1", ""),
		SAVED("[1]", "firing", "firing", "1", ""),
		SAVED("[]", "firing", "firing", "1", SERIES("many", "[]")),
		SAVED("[]", "firing", "firing", "1", SERIES("1", "[[1]]")),
		SAVED("[]", "firing", "firing", "1", SERIES("1", "[[-1,\"1\"]]")),
		SAVED("[]", "firing", "firing", "1", SERIES("1", "[[1,\"x\"]]")),
	};
	static const char good[] = SAVED("[]", "firing", "firing", "1", SERIES("1", "[[1,\"1\"]]"));
	SCOPED_JSON *whole = json_loads(good, 0, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(4096);
		SCOPED(rule_freep) struct rule_set *s = set_of("[" FAST "]", &told, S(0));
		SCOPED_JSON *doc = json_loads(damaged[i], 0, NULL);
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_non_null(doc);
		if (rule_restore(s, doc, S(0)) != REASON_MALFORMED || refuse_count(REASON_MALFORMED) != before + 1)
			fail_msg("%s", damaged[i]);
	}
	{
		SCOPED(buf_done) struct buf told = BUF_MAX(4096);
		SCOPED(rule_freep) struct rule_set *s = set_of("[" FAST "," FULL "]", &told, S(0));
		uint64_t before = refuse_count(REASON_TOO_LARGE);

		assert_int_equal(rule_restore(s, whole, S(0)), 0);
		assert_int_equal(rule_load(s, NULL, RULE_MAX + 1, S(0)), REASON_TOO_LARGE);
		assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
		rule_each_firing(s, tell, &told); /* all is as it was */
		assert_non_null(strstr(buf_text(&told), "fast firing"));
	}
}

/* --- what numbers and clocks do --------------------------------------------------------------------------------- */
/* A bound that is left only by infinity has to survive a restart, too. */
static void
what_is_infinite_is_kept_over_a_restart(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" FULL "," FAST "]", &told, S(0));
	SCOPED(rule_freep) struct rule_set *after = NULL;
	SCOPED_JSON *saved = NULL;

	(void)state;
	rule_feed(s, SERVICE, "used", NULL, 0, INFINITY, S(1));
	rule_feed(s, SERVICE, "m", NULL, 0, 0, S(1));
	rule_feed(s, SERVICE, "m", NULL, 0, INFINITY, S(16)); /* no count */
	rule_feed(s, SERVICE, "m", NULL, 0, 1e308, S(31));
	rule_feed(s, SERVICE, "m", NULL, 0, 9e307, S(46)); /* more than fits: counted anew */
	rule_feed(s, SERVICE, "m", NULL, 0, 9e307, S(61));
	assert_non_null(strstr(buf_text(&told), "full firing since 1 at inf; "));
	saved = rule_save(s);
	assert_non_null(saved);
	buf_reset(&told);
	after = set_of("[" FULL "," FAST "]", &told, S(62));
	assert_int_equal(rule_restore(after, saved, S(62)), 0);
	rule_feed(after, SERVICE, "used", NULL, 0, 90, S(63));
	assert_string_equal(buf_text(&told), "full resolved since 1 at 90; ");
}

#define MISSED "{\"name\":\"missed\",\"metric\":\"free\",\"by\":[\"device\"],\"absent\":\"20s\"}"

static void
a_group_that_went_while_nobody_looked_is_missed(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *before = set_of("[" MISSED "]", &told, S(0));
	SCOPED(rule_freep) struct rule_set *after = set_of("[" MISSED "]", &told, S(500));
	SCOPED_JSON *saved = NULL;

	(void)state;
	feed_disk(before, "sda", "rw", "1", 9, 1);
	assert_true(rule_changed(before));
	feed_disk(before, "sda", "rw", "1", 9, 3);
	assert_false(rule_changed(before)); /* not each number is worth a write */
	saved = rule_save(before);
	assert_non_null(saved);
	assert_int_equal(rule_restore(after, saved, S(500)), 0);
	rule_tick(after, S(519));
	assert_string_equal(buf_text(&told), "");
	rule_tick(after, S(520));
	assert_string_equal(buf_text(&told), "missed{device=\"sda\"} firing since 520 at 9; ");
}

static void
who_stood_still_missed_nobody(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = set_of("[" GONE "]", &told, S(0));

	(void)state;
	rule_feed(s, SERVICE, "m", NULL, 0, 1, S(1));
	rule_tick(s, S(2));
	rule_tick(s, S(9000)); /* a suspended machine, or the first word of a time server */
	assert_string_equal(buf_text(&told), "");
	rule_tick(s, S(9012)); /* pending */
	rule_tick(s, S(18012));
	rule_tick(s, S(18018));
	assert_string_equal(buf_text(&told), "");
	rule_tick(s, S(18020));
	assert_string_equal(buf_text(&told), "gone firing since 18020 at 1; ");
	rule_tick(s, S(19000));
	rule_feed(s, SERVICE, "m", NULL, 0, 1, S(19001));
	assert_string_equal(buf_text(&told), "gone firing since 18020 at 1; gone resolved since 18020 at 1; ");
}

/* States that a set cannot have written: what fits stands, the rest is refused. */
static void
more_saved_series_than_are_watched_are_refused(void **state)
{
	SCOPED(buf_done) struct buf told = BUF_MAX(4096);
	SCOPED(rule_freep) struct rule_set *s = NULL;
	SCOPED_JSON *saved = json_array();
	struct rule *rules[RULE_ALL_SERIES_MAX / RULE_SERIES_MAX + 1];
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	(void)state;
	assert_int_equal(rule_new(&s, tell, &told), 0);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		SCOPED_JSON *series = json_array();
		SCOPED_JSON *one = NULL;
		char name[16], key[16];

		(void)snprintf(name, sizeof(name), "r%zu", i);
		one = json_pack("{s:s, s:s, s:s, s:i}", "name", name, "metric", "m", "op", "above", "value", 5);
		assert_int_equal(rule_read(&rules[i], SERVICE, one), 0);
		for (int k = 0; k < (i + 1 < ARRAY_LEN(rules) ? RULE_SERIES_MAX : 1); k++) {
			(void)snprintf(key, sizeof(key), "a=\"%d\"", k);
			json_array_append_new(series, json_pack("{s:s, s:s, s:b, s:s}", "key", key, "last", "9", "bad", 1, "seen",
				"2026-11-21T10:00:00Z"));
		}
		json_array_append_new(saved, json_pack("{s:s, s:s, s:s, s:[], s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:O}", "service",
			SERVICE, "name", name, "condition", rules[i]->condition, "group", "state", "firing", "told", "firing", "value",
			"9", "muted_by", "", "bad", 1, "turn", "2026-11-21T10:00:00Z", "fired", "2026-11-21T10:00:00Z", "series", series));
	}
	assert_int_equal(rule_load(s, rules, ARRAY_LEN(rules), S(0)), 0);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		rule_unref(rules[i]);
	assert_int_equal(rule_restore(s, saved, S(1)), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	rule_each_firing(s, tell, &told);
	assert_non_null(strstr(buf_text(&told), "r0 firing"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_rule_row_by_row),
		cmocka_unit_test(without_a_span_it_fires_and_resolves_at_once),
		cmocka_unit_test(states_survive_a_restart),
		cmocka_unit_test(a_rule_that_goes_resolves_its_alert),
		cmocka_unit_test(each_group_is_an_alert_of_its_own),
		cmocka_unit_test(a_series_that_went_holds_no_group),
		cmocka_unit_test(more_groups_than_are_watched_are_an_alert),
		cmocka_unit_test(series_of_one_group_are_bounded),
		cmocka_unit_test(an_inhibited_alert_is_told_as_muted),
		cmocka_unit_test(alerts_that_inhibit_each_other_in_a_circle_are_all_heard),
		cmocka_unit_test(an_absence_goes_on_over_a_restart),
		cmocka_unit_test(a_mute_ends_by_itself),
		cmocka_unit_test(a_text_holds_what_is_so_now),
		cmocka_unit_test(what_is_no_rule_is_refused),
		cmocka_unit_test(damaged_states_are_refused),
		cmocka_unit_test(what_is_infinite_is_kept_over_a_restart),
		cmocka_unit_test(a_group_that_went_while_nobody_looked_is_missed),
		cmocka_unit_test(who_stood_still_missed_nobody),
		cmocka_unit_test(more_saved_series_than_are_watched_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
