/* What the vendor takes for standing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/believed.h"
#include "tests/fakes/scratch.h"

#define S(n) ((100000 + (uint64_t)(n)) * CLOCK_US_PER_S)
#define DISK "{\"name\":\"disk\",\"metric\":\"free\",\"by\":[\"device\"],\"op\":\"below\",\"value\":5,\"severity\":\"critical\"}"

struct site {
	struct scratch dir;
	struct believed *b;
	struct rule_set *rules;
	struct buf said;
	bool deaf; /* what is told does not reach the spool */
};

static void
on_told(const struct rule_alert *alert, void *arg)
{
	struct site *t = arg;

	if (!t->deaf)
		believed_told(t->b, alert);
}

static void
on_end(const struct rule_alert *alert, void *arg)
{
	struct site *t = arg;

	assert_true(isnan(alert->value));
	buf_printf(&t->said, "%s/%s{%s} %s %s since %llu; ", alert->rule->service, alert->rule->name, alert->group,
		alert->rule->severity, rule_told_text(alert->told), (unsigned long long)(alert->since_us / CLOCK_US_PER_S - 100000));
	for (size_t i = 0; i < alert->n_labels; i++)
		buf_printf(&t->said, "%s is %s, by %s; ", alert->labels[i].name, alert->labels[i].value, alert->rule->by[i]);
	believed_told(t->b, alert);
}

static const char *
ends(struct site *t)
{
	buf_reset(&t->said);
	believed_ends(t->b, t->rules, on_end, t);
	return buf_text(&t->said);
}

static int
setup(void **state)
{
	static struct site t;
	SCOPED_JSON *doc = json_loads(DISK, 0, NULL);
	struct rule *rule;

	t = (struct site){ .said = BUF_MAX(4096) };
	scratch_make(&t.dir);
	if (believed_open(&t.b, t.dir.fd) != 0 || rule_new(&t.rules, on_told, &t) != 0 || rule_read(&rule, "host", doc) != 0 ||
		rule_load(t.rules, &rule, 1, S(0)) != 0)
		return -1;
	rule_unref(rule);
	*state = &t;
	return 0;
}

static int
teardown(void **state)
{
	struct site *t = *state;

	rule_free(t->rules);
	believed_free(t->b);
	buf_done(&t->said);
	scratch_remove(&t->dir);
	return 0;
}

static void
feed(struct site *t, const char *device, double value, unsigned at_s)
{
	const struct rule_label label = { "device", device };

	rule_feed(t->rules, "host", "free", &label, 1, value, S(at_s));
}

static void
again(struct site *t)
{
	believed_free(t->b);
	assert_int_equal(believed_open(&t->b, t->dir.fd), 0);
}

static void
what_ended_unheard_is_owed_once_and_over_restarts(void **state)
{
	struct site *t = *state;

	feed(t, "sda", 1, 1);
	feed(t, "sdb", 1, 2);
	feed(t, "sdc", 1, 3);
	feed(t, "sdc", 9, 4); /* its end was heard */
	assert_string_equal(ends(t), "");
	t->deaf = true;
	feed(t, "sda", 9, 5);
	feed(t, "sdd", 1, 6); /* nobody was told of it */
	feed(t, "sdd", 9, 7);
	again(t);
	assert_string_equal(ends(t), "host/disk{device=\"sda\"} critical resolved since 1; device is sda, by device; ");
	again(t);
	assert_string_equal(ends(t), "");
}

static void
a_damaged_file_is_said_and_begins_anew(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "{}", REASON_MALFORMED },
		{ "[", REASON_MALFORMED },
		{ "[{\"service\":\"a\"}]", REASON_MALFORMED },
		{ "[{\"service\":\"a\",\"name\":\"b\",\"severity\":\"c\",\"group\":\"\",\"since\":\"2026-11-21T10:00:00Z\",\"labels\":[],\"x\":1}]",
			REASON_UNKNOWN_FIELD },
		{ "[{\"service\":\"a\",\"name\":\"b\",\"severity\":\"c\",\"group\":\"\",\"since\":\"2026-11-21T10:00:00Z\",\"labels\":[[\"d\"]]}]",
			REASON_MALFORMED },
		{ "[{\"service\":\"a\",\"name\":\"b\",\"severity\":\"c\",\"group\":\"\",\"since\":\"2026-11-21T10:00:00Z\",\"labels\":[[1,\"d\"]]}]",
			REASON_MALFORMED },
	};
	struct site *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(rows[i].reason);

		scratch_write(&t->dir, "believed.json", rows[i].text, strlen(rows[i].text));
		again(t);
		if (refuse_count(rows[i].reason) != before + 1 || strcmp(ends(t), "") != 0)
			fail_msg("%s: %s", rows[i].text, refuse_last()->text);
	}
}

static void
so_many_are_remembered(void **state)
{
	struct site *t = *state;
	SCOPED_JSON *items = json_array();
	SCOPED(buf_done) struct buf text = BUF_MAX(1 << 20);
	uint64_t before;

	for (int i = 0; i < BELIEVED_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "a%d", i);
		json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s, s:s, s:[]}", "service", "host", "name", name, "severity",
			"info", "group", "", "since", "2026-11-21T10:00:00Z", "labels"));
	}
	assert_int_equal(json_canonical(&text, items), 0);
	scratch_write(&t->dir, "believed.json", text.data, text.len);
	again(t);
	feed(t, "sda", 1, 1); /* one too many */
	t->deaf = true;
	feed(t, "sda", 9, 2);
	assert_null(strstr(ends(t), "sda"));
	/* Nor are more read. */
	json_array_append(items, json_array_get(items, 0));
	buf_reset(&text);
	assert_int_equal(json_canonical(&text, items), 0);
	scratch_write(&t->dir, "believed.json", text.data, text.len);
	before = refuse_count(REASON_MALFORMED);
	again(t);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_string_equal(ends(t), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_ended_unheard_is_owed_once_and_over_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_said_and_begins_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(so_many_are_remembered, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
