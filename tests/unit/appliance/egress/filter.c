/* What may leave, and what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/field.h"
#include "appliance/egress/filter.h"

static const struct row {
	const char *name;
	enum class_name class;
	const char *fate; /* of that class */
	const char *field;
	struct filter_label label;
	enum filter_verdict verdict;
	const char *waits; /* the one field that then waits, or NULL */
} rows[] = {
	{ "a shipped field passes", CLASS_METRIC, "send", "host_load1", { 0 }, FILTER_PASS, NULL },
	{ "a shipped attribute passes", CLASS_METRIC, "send", "host_cpu_seconds", { "mode", "idle" },
		FILTER_PASS, NULL },
	{ "an accepted field passes", CLASS_METRIC, "send", "redis_up", { 0 }, FILTER_PASS, NULL },
	{ "another field waits", CLASS_METRIC, "send", "redis_secret", { 0 }, FILTER_WAITS, "redis_secret" },
	{ "an attribute that was not accepted waits", CLASS_METRIC, "send", "host_load1", { "user", "ann" },
		FILTER_WAITS, "host_load1{user}" },
	{ "a sentence is no label", CLASS_METRIC, "send", "host_cpu_seconds", { "mode", "a; drop" },
		FILTER_UNFIT, NULL },
	{ "an empty label is none", CLASS_METRIC, "send", "host_cpu_seconds", { "mode", "" }, FILTER_UNFIT,
		NULL },
	{ "a long label is none", CLASS_METRIC, "send", "host_cpu_seconds", { "mode",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }, FILTER_UNFIT, NULL },
	{ "under review a shipped field waits", CLASS_METRIC, "review", "host_load1", { 0 }, FILTER_WAITS,
		"host_load1" },
	{ "under review an accepted field passes", CLASS_METRIC, "review", "redis_up", { 0 }, FILTER_PASS,
		NULL },
	{ "what is kept neither leaves nor waits", CLASS_METRIC, "keep", "redis_up", { 0 }, FILTER_KEPT,
		NULL },
	{ "an alert came with its service", CLASS_ALERT, "send", "alert.redis.down", { "state", "firing" },
		FILTER_PASS, NULL },
	{ "under review an alert waits", CLASS_ALERT, "review", "alert.redis.down", { "state", "firing" },
		FILTER_WAITS, "alert.redis.down" },
	{ "an alert is kept", CLASS_ALERT, "keep", "alert.redis.down", { 0 }, FILTER_KEPT, NULL },
};

static void
row_by_row(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(filter_freep) struct filter *f = NULL;
		SCOPED_JSON *accepted = json_pack("[s]", "redis_up");
		SCOPED_JSON *classes = json_pack("{s:s}", class_text(rows[i].class), rows[i].fate);
		SCOPED_JSON *waiting = NULL;
		struct class_fates fates;
		enum filter_verdict v;
		const char *waits;

		assert_int_equal(filter_new(&f), 0);
		assert_int_equal(filter_set_accepted(f, accepted), 0);
		assert_int_equal(class_fates(&fates, classes), 0);
		filter_set_fates(f, &fates);
		v = filter_check(f, rows[i].class, rows[i].field, &rows[i].label, rows[i].label.name ? 1 : 0,
			"17");
		waiting = filter_waiting(f);
		waits = json_string_value(json_object_get(json_array_get(waiting, 0), "field"));
		if (v != rows[i].verdict || (waits ? 1 : 0) != (rows[i].waits ? 1 : 0) ||
			(waits && strcmp(waits, rows[i].waits) != 0))
			fail_msg("%s: %d, waits: %s", rows[i].name, v, waits ? waits : "none");
		assert_int_equal(filter_held(f), v != FILTER_PASS);
	}
}

static void
what_is_accepted_waits_no_more(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *both = json_pack("[s, s]", "b", "c{x}");
	SCOPED_JSON *waiting = NULL;
	const struct filter_label x = { "x", "1" };
	const json_t *item;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_check(f, CLASS_METRIC, "c", &x, 1, "3"), FILTER_WAITS);
	assert_int_equal(filter_check(f, CLASS_METRIC, "b", NULL, 0, "1"), FILTER_WAITS);
	assert_int_equal(filter_check(f, CLASS_METRIC, "b", NULL, 0, "2\n\xff"), FILTER_WAITS);
	waiting = filter_waiting(f);
	assert_int_equal(json_array_size(waiting), 3);
	item = json_array_get(waiting, 0);
	assert_string_equal(json_string_value(json_object_get(item, "field")), "b");
	assert_int_equal(json_integer_value(json_object_get(item, "seen")), 2);
	assert_string_equal(json_string_value(json_object_get(item, "example")), "2\\n\\xff");
	assert_int_equal(filter_set_accepted(f, both), 0);
	json_decref(waiting);
	waiting = filter_waiting(f);
	assert_int_equal(json_array_size(waiting), 1); /* "c" itself */
	assert_int_equal(filter_check(f, CLASS_METRIC, "b", NULL, 0, "1"), FILTER_PASS);
}

static void
a_bad_list_changes_nothing(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *good = json_pack("[s]", "b");
	SCOPED_JSON *bad = json_pack("[s, s]", "c", "no field");
	SCOPED_JSON *object = json_object(), *long_list = json_array();
	int i;

	(void)state;
	for (i = 0; i <= FILTER_ACCEPTED_MAX; i++)
		(void)json_array_append_new(long_list, json_string("c"));
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_set_accepted(f, good), 0);
	assert_int_equal(filter_set_accepted(f, bad), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_int_equal(filter_set_accepted(f, object), REASON_MALFORMED);
	assert_int_equal(filter_set_accepted(f, long_list), REASON_TOO_LARGE);
	assert_int_equal(filter_check(f, CLASS_METRIC, "b", NULL, 0, "1"), FILTER_PASS);
	assert_int_equal(filter_check(f, CLASS_METRIC, "c", NULL, 0, "1"), FILTER_WAITS);
}

static void
many_fields_are_counted_and_some_remembered(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *waiting = NULL;
	char name[32];
	int i;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	for (i = 0; i < FILTER_WAITING_MAX + 10; i++) {
		(void)snprintf(name, sizeof(name), "m%d", i);
		assert_int_equal(filter_check(f, CLASS_METRIC, name, NULL, 0, "1"), FILTER_WAITS);
	}
	waiting = filter_waiting(f);
	assert_int_equal(json_array_size(waiting), FILTER_WAITING_MAX);
	assert_int_equal(filter_held(f), FILTER_WAITING_MAX + 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_by_row),
		cmocka_unit_test(what_is_accepted_waits_no_more),
		cmocka_unit_test(a_bad_list_changes_nothing),
		cmocka_unit_test(many_fields_are_counted_and_some_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
