/* Rules on random series: what a killed collector tells, and each kind beside its definition said again in the plainest
 * way.  SEED chooses the first round; what differs names its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "telemetry/rule/rule.h"

enum { ROUNDS = 40, TOLD_MAX = 1 << 20, POINTS = 512 };

#define S(n)	(100000 * CLOCK_US_PER_S + (uint64_t)(n) * CLOCK_US_PER_S)
#define SERVICE "redis"

static uint64_t seed;

static unsigned
draw(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % n;
}

static uint64_t
first_round(void)
{
	const char *given = getenv("SEED");

	return given ? strtoull(given, NULL, 10) : 1;
}

static void
tell(const struct rule_alert *alert, void *arg)
{
	buf_printf(arg, "%s%s%s%s %s%s%s since %llu at %.9g; ", alert->rule->name, *alert->group ? "{" : "",
		alert->group, *alert->group ? "}" : "", rule_told_text(alert->told), *alert->muted_by ? " by " : "",
		alert->muted_by, (unsigned long long)(alert->since_us / CLOCK_US_PER_S - 100000), alert->value);
}

/* Without the number: a killed one may still hold that of its last save. */
static void
tell_turn(const struct rule_alert *alert, void *arg)
{
	struct rule_alert turn = *alert;

	turn.value = 0;
	tell(&turn, arg);
}

/* A set of these rules (an array as text). */
static struct rule_set *
set_of(const char *text, rule_fn *fn, struct buf *told, uint64_t now_us)
{
	SCOPED_JSON *list = json_loads(text, 0, NULL);
	struct rule *rules[16];
	struct rule_set *s;
	size_t n = json_array_size(list);

	assert_non_null(list);
	assert_int_equal(rule_new(&s, fn, told), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rule_read(&rules[i], SERVICE, json_array_get(list, i)), 0);
	assert_int_equal(rule_load(s, rules, n, now_us), 0);
	for (size_t i = 0; i < n; i++)
		rule_unref(rules[i]);
	return s;
}

/* The end of both is where they differ. */
static void
check_same(uint64_t round, const struct buf *is, const struct buf *should)
{
	size_t same = 0;

	while (is->len > same && should->len > same && is->data[same] == should->data[same])
		same++;
	if (is->len != should->len || same < is->len)
		fail_msg("SEED=%llu: %.*s\n... and then\n%.200s\nnot\n%.200s", (unsigned long long)round,
			(int)(same < 200 ? same : 200), buf_text(is) + (same < 200 ? 0 : same - 200),
			buf_text(is) + same, buf_text(should) + same);
}

/* --- kills ------------------------------------------------------------------------------------------------- */
#define ALL                                                                                                   \
	"[{\"name\":\"disk\",\"metric\":\"free\",\"where\":{\"mode\":\"rw\"},\"by\":[\"device\"],\"op\":\"below\",\"value\":5}"   \
	",{\"name\":\"high\",\"metric\":\"m\",\"op\":\"above\",\"value\":\"0.9\",\"clear\":\"0.5\"}"                  \
	",{\"name\":\"changed\",\"metric\":\"m\",\"change\":true,\"for\":\"10s\"}"                                    \
	",{\"name\":\"held\",\"metric\":\"m\",\"op\":\"below\",\"value\":3,\"for\":\"20s\"}"                           \
	",{\"name\":\"grows\",\"metric\":\"count\",\"by\":[\"device\"],\"op\":\"above\",\"value\":8,"                    \
	"\"rate\":{\"per\":\"1m\",\"over\":\"2m\"},\"inhibited_by\":[\"high\"]}]"

/* What rules.json holds is all that the next one knows. */
static void
restart(struct rule_set **s, json_t *kept, struct buf *told, uint64_t now_us)
{
	rule_free(*s);
	*s = set_of(ALL, tell_turn, told, now_us);
	assert_int_equal(rule_restore(*s, kept, now_us), 0);
	rule_tick(*s, now_us);
}

static void
one_round(uint64_t round)
{
	SCOPED(buf_done) struct buf a = BUF_MAX(TOLD_MAX), b = BUF_MAX(TOLD_MAX);
	struct rule_set *whole = set_of(ALL, tell_turn, &a, S(0)), *killed = set_of(ALL, tell_turn, &b, S(0));
	SCOPED_JSON *kept = rule_save(killed);
	bool unkept[2] = { false, false }, lost[2] = { false, false };
	double count[2] = { 0, 0 }, m = 3;

	seed = round;
	for (unsigned at = 2; at < 1500; at += 2) {
		unsigned disk = draw(2), what = draw(8);
		char device[8];
		struct rule_label labels[2] = { { "device", device }, { "mode", "rw" } };

		(void)snprintf(device, sizeof(device), "d%u", disk);
		if (draw(40) == 0) {
			count[disk] += draw(30);
			unkept[disk] = true;
		}
		/* What a counter grew by since it was kept is lost where it begins again while nobody looks. */
		if (draw(100) == 0 && !lost[disk])
			count[disk] = draw(3);
		m += draw(6) == 0 ? (double)draw(5) - 2 : 0;
		for (int i = 0; i < 2; i++) {
			struct rule_set *s = i ? killed : whole;

			if (what != 0) {
				rule_feed(s, SERVICE, "free", labels, 2, m * 2 + disk, S(at));
				rule_feed(s, SERVICE, "m", NULL, 0, m / 4, S(at));
			}
			rule_feed(s, SERVICE, "count", labels, 1, count[disk], S(at));
			rule_tick(s, S(at));
		}
		lost[disk] = false; /* it was seen since */
		if (rule_changed(killed)) {
			json_decref(kept);
			kept = rule_save(killed);
			unkept[0] = unkept[1] = false;
		}
		if (draw(15) == 0) {
			restart(&killed, kept, &b, S(at));
			lost[0] = lost[0] || unkept[0];
			lost[1] = lost[1] || unkept[1];
		}
	}
	check_same(round, &b, &a);
	assert_true(a.len > 100);
	rule_free(whole);
	rule_free(killed);
}

static void
kills_change_nothing_that_is_told(void **state)
{
	(void)state;
	for (uint64_t round = first_round(), end = round + ROUNDS; round < end; round++)
		one_round(round);
}

/* --- each kind by its definition ------------------------------------------------------------------------------ */
/* A condition that is looked at: it fires at the first look that ends `hold` of bad ones, and ends at the first that ends
 * `calm` of good ones. */
struct plain {
	const char *name;
	unsigned hold, calm, turned, fired;
	bool fires, bad;
};

static void
look(struct plain *p, struct buf *want, bool bad, double value, unsigned at)
{
	if (bad != p->bad)
		p->turned = at;
	p->bad = bad;
	if (!p->fires && bad && at - p->turned >= p->hold) {
		p->fires = true;
		p->fired = at;
		buf_printf(want, "%s firing since %u at %.9g; ", p->name, at, value);
	} else if (p->fires && !bad && at - p->turned >= p->calm) {
		p->fires = false;
		buf_printf(want, "%s resolved since %u at %.9g; ", p->name, p->fired, value);
	}
}

#define DOWN "[{\"name\":\"down\",\"metric\":\"m\",\"op\":\"below\",\"value\":3,\"clear\":6,\"for\":\"4s\"}]"

static void
a_threshold_is_what_it_says(void **state)
{
	(void)state;
	for (uint64_t round = first_round(), end = round + ROUNDS; round < end; round++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(TOLD_MAX), want = BUF_MAX(TOLD_MAX);
		SCOPED(rule_freep) struct rule_set *s = set_of(DOWN, tell, &told, S(0));
		struct plain p = { .name = "down", .hold = 4, .calm = 2 };
		unsigned at = 0;

		seed = round;
		for (int i = 0; i < POINTS; i++) {
			double v = draw(10) - (draw(3) == 0 ? 0.0 : 2.0);

			at += 1 + draw(2);
			rule_feed(s, SERVICE, "m", NULL, 0, v, S(at));
			rule_tick(s, S(at));
			look(&p, &want, v < (p.bad && p.fires ? 6 : 3), v, at);
		}
		check_same(round, &told, &want);
		assert_true(told.len > 100);
	}
}

/* Numbers come at moments of the window's own grid, so that its spots are all of them. */
#define FAST                                                                                                  \
	"[{\"name\":\"fast\",\"metric\":\"c\",\"op\":\"above\",\"value\":5,\"rate\":{\"per\":\"1m\",\"over\":\"2m\"}}"  \
	",{\"name\":\"slow\",\"metric\":\"d\",\"op\":\"below\",\"value\":5,\"rate\":{\"per\":\"1m\",\"over\":\"2m\"}}]"

struct point {
	unsigned at;
	double grown; /* since the first of its run */
};

/* The growth a minute over the last two minutes; *full: there are two. */
static double
growth(const struct point *points, size_t n, bool *full)
{
	const struct point *last = &points[n - 1];
	size_t from = n - 1;
	unsigned covered;

	while (from > 0 && points[from].at + 120 > last->at)
		from--;
	covered = last->at - points[from].at;
	*full = covered >= 120;
	return (last->grown - points[from].grown) / (*full ? covered : 120) * 60;
}

static void
a_rate_is_what_it_says(void **state)
{
	(void)state;
	for (uint64_t round = first_round(), end = round + ROUNDS; round < end; round++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(TOLD_MAX), want = BUF_MAX(TOLD_MAX);
		SCOPED(rule_freep) struct rule_set *s = set_of(FAST, tell, &told, S(0));
		struct plain fast = { .name = "fast" }, slow = { .name = "slow", .turned = 20 };
		struct point points[POINTS];
		double counter = 0, was = 0;
		unsigned at = 20;
		size_t n = 0;

		seed = round;
		for (int i = 0; i < POINTS; i++) {
			bool gap = draw(40) == 0, full;
			double v;

			at += gap ? 135 : 15 * (1 + draw(3));
			counter = draw(25) == 0 ? draw(4) : counter + (draw(3) == 0 ? draw(16) : 0);
			if (gap)
				n = 0; /* growth in there has no place */
			points[n].at = at;
			points[n].grown = n == 0 ? 0 : points[n - 1].grown + (counter < was ? counter : counter - was);
			was = counter;
			v = growth(points, ++n, &full);
			rule_feed(s, SERVICE, "c", NULL, 0, counter, S(at));
			look(&fast, &want, v > 5, v, at);
			rule_feed(s, SERVICE, "d", NULL, 0, counter, S(at));
			if (full)
				look(&slow, &want, v < 5, v, at);
		}
		check_same(round, &told, &want);
		assert_true(told.len > 100);
	}
}

#define GONE "[{\"name\":\"gone\",\"metric\":\"m\",\"absent\":\"20s\"}]"

static void
an_absence_is_what_it_says(void **state)
{
	(void)state;
	for (uint64_t round = first_round(), end = round + ROUNDS; round < end; round++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(TOLD_MAX), want = BUF_MAX(TOLD_MAX);
		SCOPED(rule_freep) struct rule_set *s = set_of(GONE, tell, &told, S(0));
		unsigned heard = 0, fired = 0;
		bool fires = false;
		double v = 0;

		seed = round;
		for (unsigned at = 1, next = 5; at < 3000; at++) {
			if (at == next) {
				v = draw(5);
				next += 1 + draw(30);
				rule_feed(s, SERVICE, "m", NULL, 0, v, S(at));
				if (fires)
					buf_printf(&want, "gone resolved since %u at %.9g; ", fired, v);
				fires = false;
				heard = at;
			}
			if (at % 2 == 0)
				rule_tick(s, S(at));
			if (at % 2 == 0 && !fires && at - heard >= 20) {
				fires = true;
				fired = at;
				buf_printf(&want, "gone firing since %u at %.9g; ", fired, v);
			}
		}
		check_same(round, &told, &want);
		assert_true(told.len > 100);
	}
}

#define CHANGED "[{\"name\":\"changed\",\"metric\":\"m\",\"change\":true,\"for\":\"10s\"}]"

/* It ends `for` after the first look that found no change. */
static void
a_change_is_what_it_says(void **state)
{
	(void)state;
	for (uint64_t round = first_round(), end = round + ROUNDS; round < end; round++) {
		SCOPED(buf_done) struct buf told = BUF_MAX(TOLD_MAX), want = BUF_MAX(TOLD_MAX);
		SCOPED(rule_freep) struct rule_set *s = set_of(CHANGED, tell, &told, S(0));
		struct plain p = { .name = "changed", .calm = 10 };
		double v = 3;

		seed = round;
		rule_feed(s, SERVICE, "m", NULL, 0, v, S(0));
		for (unsigned at = 1; at < 1500; at++) {
			bool changed = draw(12) == 0;

			v += changed ? 1 + draw(3) : 0;
			if (changed || draw(3) == 0) {
				rule_feed(s, SERVICE, "m", NULL, 0, v, S(at));
				look(&p, &want, changed, v, at);
			}
			if (at % 2 == 0) {
				rule_tick(s, S(at));
				look(&p, &want, false, v, at);
			}
		}
		check_same(round, &told, &want);
		assert_true(told.len > 100);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_change_nothing_that_is_told),
		cmocka_unit_test(a_threshold_is_what_it_says),
		cmocka_unit_test(a_rate_is_what_it_says),
		cmocka_unit_test(an_absence_is_what_it_says),
		cmocka_unit_test(a_change_is_what_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
