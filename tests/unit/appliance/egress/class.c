/* Classes and fields by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/class.h"
#include "appliance/egress/field.h"

static void
every_class_has_a_name_and_a_switch(void **state)
{
	enum class_name which;
	int i;

	(void)state;
	for (i = 0; i < CLASS_MAX; i++) {
		assert_true(class_parse(&which, class_text((enum class_name)i)));
		assert_int_equal(which, i);
	}
	/* The policy knows the same ones. */
	assert_int_equal(CLASS_MAX, POLICY_CLASSES);
	for (i = 0; i < POLICY_CLASSES; i++)
		assert_true(class_parse(&which, policy_class_names[i]));
	assert_false(class_parse(&which, "gossip"));
	assert_int_equal(class_switch(CLASS_METRIC), SWITCH_TELEMETRY);
	assert_int_equal(class_switch(CLASS_RESULT), SWITCH_REMOTE);
	assert_int_equal(class_switch(CLASS_AUDIT), SWITCH_MAX);
}

static void
fates_are_read_strictly(void **state)
{
	SCOPED_JSON *good = json_pack("{s:s, s:s}", "log", "keep", "metric", "review");
	SCOPED_JSON *class = json_pack("{s:s}", "gossip", "keep");
	SCOPED_JSON *fate = json_pack("{s:s, s:s}", "log", "send", "metric", "burn");
	SCOPED_JSON *list = json_array();
	struct class_fates f = { .of = { [CLASS_ALERT] = POLICY_KEEP } };

	(void)state;
	assert_int_equal(class_fates(&f, class), REASON_UNKNOWN_FIELD);
	assert_int_equal(class_fates(&f, fate), REASON_MALFORMED);
	assert_int_equal(class_fates(&f, list), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_int_equal(f.of[CLASS_ALERT], POLICY_KEEP); /* unchanged */
	assert_int_equal(class_fates(&f, good), 0);
	assert_int_equal(f.of[CLASS_LOG], POLICY_KEEP);
	assert_int_equal(f.of[CLASS_METRIC], POLICY_REVIEW);
	assert_int_equal(f.of[CLASS_ALERT], POLICY_SEND);
}

static const struct row {
	const char *text;
	bool valid;
} rows[] = {
	{ "redis_up", true },
	{ "host_cpu_seconds{mode}", true },
	{ "alert.redis.redis-down", true },
	{ "alert.my.redis.down", true },
	{ "", false },
	{ "Redis_Up", true },
	{ "job:rate:5m{Code}", true },
	{ "log.redis.stdout", true },
	{ "log.host.syslog", true },
	{ "log.journal.getty@tty1.service", true },
	{ "inventory.packages", true },
	{ "log.redis", false },
	{ "log.redis.a b", false },
	{ "inventory.", false },
	{ "inventory.a.b", false },
	{ "redis{1a}", false },
	{ "1redis", false },
	{ "redis up", false },
	{ "redis{", false },
	{ "redis{}", false },
	{ "redis{a}b", false },
	{ "redis{a}{b}", false },
	{ "alert.redis", false },
	{ "alert..down", false },
	{ "alert.redis.", false },
	{ "alert.redis.a b", false },
};

static void
fields_row_by_row(void **state)
{
	size_t i;
	char out[FIELD_NAME_MAX + 1], name[FIELD_NAME_MAX + 2];

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (field_valid(rows[i].text) != rows[i].valid)
			fail_msg("\"%s\"", rows[i].text);
	for (i = 0; field_shipped[i]; i++)
		assert_true(field_valid(field_shipped[i]));
	memset(name, 'a', FIELD_NAME_MAX + 1);
	name[FIELD_NAME_MAX + 1] = '\0';
	assert_false(field_valid(name));
	assert_false(field_of_label(out, name, "b"));
	name[FIELD_NAME_MAX] = '\0';
	assert_true(field_valid(name));
	assert_true(field_of_label(out, "a", "b"));
	assert_string_equal(out, "a{b}");
}

static void
patterns_match_whole_fields(void **state)
{
	(void)state;
	assert_true(field_matches("pg_*", "pg_stat_a"));
	assert_false(field_matches("pg_*", "xpg_stat"));
	assert_true(field_matches("*", "a{b}"));
	assert_true(field_matches("a*b*c", "axxbxbxc"));
	assert_false(field_matches("a*b*c", "axxbxbx"));
	assert_true(field_matches("a?c", "abc"));
	assert_false(field_matches("a?c", "ac"));
	assert_false(field_matches("a", "ab"));
	assert_true(field_matches("a*", "a"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_has_a_name_and_a_switch),
		cmocka_unit_test(fates_are_read_strictly),
		cmocka_unit_test(fields_row_by_row),
		cmocka_unit_test(patterns_match_whole_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
