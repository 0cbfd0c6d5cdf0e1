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

static enum filter_verdict
check(struct filter *f, enum class_name class, const char *field, const char *shape, const struct filter_label *label,
	const char *example)
{
	const struct filter_item item = { .class = class, .field = field, .shape = shape, .service = "redis",
		.labels = label, .n_labels = label ? 1 : 0, .example = example, .now_us = 1000000 };

	return filter_check(f, &item);
}

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
		FILTER_UNFIT, "host_cpu_seconds{mode}" },
	{ "an empty label is none", CLASS_METRIC, "send", "host_cpu_seconds", { "mode", "" }, FILTER_UNFIT,
		"host_cpu_seconds{mode}" },
	{ "a long label is none", CLASS_METRIC, "send", "host_cpu_seconds", { "mode",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }, FILTER_UNFIT,
		"host_cpu_seconds{mode}" },
	{ "under review a shipped field waits", CLASS_METRIC, "review", "host_load1", { 0 }, FILTER_WAITS,
		"host_load1" },
	{ "under review an accepted field passes", CLASS_METRIC, "review", "redis_up", { 0 }, FILTER_PASS,
		NULL },
	{ "what is kept neither leaves nor waits", CLASS_METRIC, "keep", "redis_up", { 0 }, FILTER_KEPT,
		NULL },
	{ "an accepted alert passes", CLASS_ALERT, "send", "alert.redis.down", { 0 }, FILTER_PASS, NULL },
	{ "an alert that a later release brought waits", CLASS_ALERT, "send", "alert.redis.late", { 0 },
		FILTER_WAITS, "alert.redis.late" },
	{ "Mainstay's own alert passes", CLASS_ALERT, "send", "alert.mainstay.Full", { 0 }, FILTER_PASS, NULL },
	{ "under review also that waits", CLASS_ALERT, "review", "alert.mainstay.Full", { 0 }, FILTER_WAITS,
		"alert.mainstay.Full" },
	{ "lines of a log wait", CLASS_LOG, "send", "log.redis.stdout", { 0 }, FILTER_WAITS, "log.redis.stdout" },
	{ "a group of the inventory waits", CLASS_INVENTORY, "send", "inventory.packages", { 0 }, FILTER_WAITS,
		"inventory.packages" },
	{ "an alert is kept", CLASS_ALERT, "keep", "alert.redis.down", { 0 }, FILTER_KEPT, NULL },
};

static void
row_by_row(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(filter_freep) struct filter *f = NULL;
		SCOPED_JSON *accepted = json_pack("{s:s, s:s}", "redis_up", "", "alert.redis.down", "");
		SCOPED_JSON *classes = json_pack("{s:s}", class_text(rows[i].class), rows[i].fate);
		SCOPED_JSON *waiting = NULL;
		struct class_fates fates;
		enum filter_verdict v;
		const char *waits;

		assert_int_equal(filter_new(&f), 0);
		assert_int_equal(filter_set_accepted(f, accepted), 0);
		assert_int_equal(class_fates(&fates, classes), 0);
		filter_set_fates(f, &fates);
		v = check(f, rows[i].class, rows[i].field, "gauge 1",
			rows[i].label.name ? &rows[i].label : NULL, "17");
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
	SCOPED_JSON *both = json_pack("{s:s, s:s}", "b", "gauge 1", "c{x}", "label");
	SCOPED_JSON *waiting = NULL;
	const struct filter_label x = { "x", "1" };
	const json_t *item;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(check(f, CLASS_METRIC, "c", "gauge 1", &x, "3"), FILTER_WAITS);
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge 1", NULL, "1"), FILTER_WAITS);
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge 1", NULL, "2\n\xff"), FILTER_WAITS);
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
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge 1", NULL, "1"), FILTER_PASS);
}

static void
a_bad_list_changes_nothing(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *good = json_pack("{s:s}", "b", "");
	SCOPED_JSON *bad = json_pack("{s:s, s:s}", "c", "", "no field", "");
	SCOPED_JSON *shapeless = json_pack("{s:b}", "c", 1), *odd = json_pack("{s:s}", "c", "gauge\n");
	SCOPED_JSON *list = json_array(), *long_list = json_object();
	char name[16];
	int i;

	(void)state;
	for (i = 0; i <= FILTER_ACCEPTED_MAX; i++)
		(void)(snprintf(name, sizeof(name), "c%d", i),
			json_object_set_new(long_list, name, json_string("")));
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_set_accepted(f, good), 0);
	assert_int_equal(filter_set_accepted(f, bad), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_int_equal(filter_set_accepted(f, list), REASON_MALFORMED);
	assert_int_equal(filter_set_accepted(f, shapeless), REASON_MALFORMED);
	assert_int_equal(filter_set_accepted(f, odd), REASON_MALFORMED);
	assert_int_equal(filter_set_accepted(f, long_list), REASON_TOO_LARGE);
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge 1", NULL, "1"), FILTER_PASS);
	assert_int_equal(check(f, CLASS_METRIC, "c", "gauge 1", NULL, "1"), FILTER_WAITS);
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
		assert_int_equal(check(f, CLASS_METRIC, name, "gauge 1", NULL, "1"), FILTER_WAITS);
	}
	waiting = filter_waiting(f);
	assert_int_equal(json_array_size(waiting), FILTER_WAITING_MAX);
	assert_int_equal(filter_held(f), FILTER_WAITING_MAX + 10);
}

static const char *
member(const json_t *waiting, size_t i, const char *name)
{
	return json_text(json_array_get(waiting, i), name);
}

/* What was accepted is the field as it was shown. */
static void
another_shape_waits_and_both_are_shown(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *accepted = json_pack("{s:s}", "b", "gauge By");
	SCOPED_JSON *again = json_pack("{s:s}", "b", "counter s"), *releases = json_pack("{s:s}", "redis", "2.0");
	SCOPED_JSON *waiting = NULL, *none = NULL;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_set_accepted(f, accepted), 0);
	filter_set_releases(f, releases);
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge By", NULL, "1"), FILTER_PASS);
	assert_int_equal(check(f, CLASS_METRIC, "b", "counter s", NULL, "2"), FILTER_WAITS);
	waiting = filter_waiting(f);
	assert_string_equal(member(waiting, 0, "state"), "changed");
	assert_string_equal(member(waiting, 0, "was"), "gauge By");
	assert_string_equal(member(waiting, 0, "shape"), "counter s");
	assert_string_equal(member(waiting, 0, "service"), "redis");
	assert_string_equal(member(waiting, 0, "release"), "2.0");
	assert_string_equal(member(waiting, 0, "since"), "1970-01-01T00:00:01.000Z");
	assert_int_equal(filter_set_accepted(f, again), 0);
	none = filter_waiting(f);
	assert_int_equal(json_array_size(none), 0);
	assert_int_equal(check(f, CLASS_METRIC, "b", "counter s", NULL, "2"), FILTER_PASS);
}

static void *
nothing_left(size_t size)
{
	(void)size;
	return NULL;
}

static void
no_shape_passes_that_could_not_be_kept(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *accepted = json_pack("{s:s}", "b", "");

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_set_accepted(f, accepted), 0);
	json_set_alloc_funcs(nothing_left, free);
	assert_int_equal(check(f, CLASS_METRIC, "b", "counter s", NULL, "1"), FILTER_WAITS);
	json_set_alloc_funcs(json_allocate, free);
	assert_false(filter_pinned(f));
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge By", NULL, "1"), FILTER_PASS);
	assert_int_equal(check(f, CLASS_METRIC, "b", "counter s", NULL, "1"), FILTER_WAITS);
}

static void
a_field_accepted_unseen_keeps_its_first_shape(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL, *later = NULL;
	SCOPED_JSON *accepted = json_pack("{s:s}", "b", ""), *bad = json_pack("{s:i}", "b", 1), *empty = json_object();
	SCOPED_JSON *list = json_array(), *many = json_object();
	char name[16];

	(void)state;
	for (int i = 0; i <= FILTER_ACCEPTED_MAX; i++) {
		(void)snprintf(name, sizeof(name), "m%d", i);
		assert_int_equal(json_object_set_new(many, name, json_string("gauge 1")), 0);
	}
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_set_accepted(f, accepted), 0);
	assert_false(filter_pinned(f));
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge By", NULL, "1"), FILTER_PASS);
	assert_true(filter_pinned(f));
	assert_false(filter_pinned(f));
	assert_int_equal(check(f, CLASS_METRIC, "b", "counter s", NULL, "1"), FILTER_WAITS);
	/* Over a restart. */
	assert_int_equal(filter_new(&later), 0);
	assert_int_equal(filter_set_accepted(later, accepted), 0);
	assert_int_equal(filter_set_pins(later, filter_pins(f)), 0);
	for (size_t i = 0; i < 3; i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(filter_set_pins(later, i == 0 ? bad : i == 1 ? list : many), REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_int_equal(json_object_size(filter_pins(later)), 1);
	}
	assert_int_equal(check(later, CLASS_METRIC, "b", "counter s", NULL, "1"), FILTER_WAITS);
	/* What is accepted no longer is forgotten. */
	assert_int_equal(filter_set_accepted(later, empty), 0);
	assert_int_equal(json_object_size(filter_pins(later)), 0);
	assert_true(filter_pinned(later));
}

static void
what_was_refused_stays_and_is_marked(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL;
	SCOPED_JSON *refused = json_pack("{s:b, s:b}", "host_load1", 0, "b", 0);
	SCOPED_JSON *waiting = NULL, *later = NULL;

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(filter_set_accepted(f, refused), 0);
	assert_int_equal(check(f, CLASS_METRIC, "host_load1", "gauge 1", NULL, "1"), FILTER_WAITS);
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge 1", NULL, "1"), FILTER_WAITS);
	waiting = filter_waiting(f);
	assert_int_equal(json_array_size(waiting), 2);
	assert_string_equal(member(waiting, 0, "state"), "refused");
	assert_string_equal(member(waiting, 1, "state"), "refused");
	/* What waited is marked at once, not when it comes again. */
	assert_int_equal(check(f, CLASS_METRIC, "c", "gauge 1", NULL, "1"), FILTER_WAITS);
	assert_int_equal(json_object_set_new(refused, "c", json_false()), 0);
	assert_int_equal(filter_set_accepted(f, refused), 0);
	later = filter_waiting(f);
	assert_string_equal(member(later, 1, "field"), "c");
	assert_string_equal(member(later, 1, "state"), "refused");
}

static void
what_waits_is_known_over_a_restart(void **state)
{
	SCOPED(filter_freep) struct filter *f = NULL, *later = NULL;
	SCOPED_JSON *waiting = NULL, *again = NULL, *odd = json_pack("[{s:s}, i]", "field", "no field", 1);

	(void)state;
	assert_int_equal(filter_new(&f), 0);
	assert_int_equal(check(f, CLASS_METRIC, "b", "gauge 1", NULL, "1"), FILTER_WAITS);
	waiting = filter_waiting(f);
	assert_int_equal(filter_new(&later), 0);
	filter_remember(later, waiting);
	filter_remember(later, odd);
	assert_int_equal(check(later, CLASS_METRIC, "b", "gauge 1", NULL, "5"), FILTER_WAITS);
	again = filter_waiting(later);
	assert_int_equal(json_array_size(again), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(again, 0), "seen")), 2);
	assert_string_equal(member(again, 0, "since"), "1970-01-01T00:00:01.000Z");
	assert_string_equal(member(again, 0, "example"), "5");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_by_row),
		cmocka_unit_test(what_is_accepted_waits_no_more),
		cmocka_unit_test(a_bad_list_changes_nothing),
		cmocka_unit_test(another_shape_waits_and_both_are_shown),
		cmocka_unit_test(a_field_accepted_unseen_keeps_its_first_shape),
		cmocka_unit_test(no_shape_passes_that_could_not_be_kept),
		cmocka_unit_test(what_was_refused_stays_and_is_marked),
		cmocka_unit_test(what_waits_is_known_over_a_restart),
		cmocka_unit_test(many_fields_are_counted_and_some_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
