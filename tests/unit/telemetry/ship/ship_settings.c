/* What the operator says of telemetry's way out. */
#include "telemetry/ship/ship_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

static int
read_text(struct ship_settings *s, const struct scratch *dir, const char *text)
{
	struct paths paths;
	int fd = -1;

	assert_int_equal(fs_paths(&paths, dir->path), 0);
	assert_int_equal(fs_open_dir(&fd, dir->fd, "etc", 0700), 0);
	scope_close(&fd);
	scratch_put(dir, "etc/mainstay.yaml", text, strlen(text));
	return ship_settings_read(s, &paths);
}

static void
what_is_said_is_read(void **state)
{
	struct scratch *dir = *state;
	struct ship_settings s;

	assert_int_equal(read_text(&s, dir,
		"telemetry:\n"
		"  period: 15s\n"
		"  bandwidth: 200kb\n"
		"  hours: {log: \"22:00-06:00\", metric: \"08:30-17:45\"}\n"
		"  destinations:\n"
		"    - name: otel\n"
		"      url: https://otel.example:4318/base/\n"
		"      headers_file: /etc/h\n"
		"      ca: /etc/ca.pem\n"
		"      classes: [metric, log]\n"
		"      instead: true\n"
		"    - {name: near, url: \"http://127.0.0.1:4318\", classes: [alert], instead: false}\n"), 0);
	assert_int_equal(s.bandwidth, 200 * 1024);
	assert_int_equal(s.rules.hours[CLASS_LOG].from, 22 * 60);
	assert_int_equal(s.rules.hours[CLASS_LOG].to, 6 * 60);
	assert_int_equal(s.rules.hours[CLASS_METRIC].from, 8 * 60 + 30);
	assert_int_equal(s.n_destinations, 2);
	assert_string_equal(s.destinations[0].url, "https://otel.example:4318/base");
	assert_string_equal(s.destinations[0].headers_file, "/etc/h");
	assert_string_equal(s.destinations[0].ca_file, "/etc/ca.pem");
	assert_int_equal(s.destinations[0].classes, 1u << CLASS_METRIC | 1u << CLASS_LOG);
	assert_int_equal(s.rules.elsewhere, 1u << CLASS_METRIC | 1u << CLASS_LOG);
	assert_false(s.destinations[1].instead);
}

static void
nothing_said_means_the_hub_at_any_time(void **state)
{
	struct scratch *dir = *state;
	struct ship_settings s;
	struct paths paths;

	assert_int_equal(fs_paths(&paths, dir->path), 0);
	assert_int_equal(ship_settings_read(&s, &paths), 0);
	assert_int_equal(s.n_destinations + s.bandwidth + s.rules.elsewhere, 0);
	assert_int_equal(read_text(&s, dir, "telemetry:\n  bandwidth: 0\n"), 0);
	for (unsigned minute = 0; minute < SHIPPER_MINUTES; minute++)
		assert_true(shipper_is_open(&s.rules.hours[CLASS_LOG], minute));
}

static void
hours_may_pass_midnight(void **state)
{
	static const struct shipper_hours night = { 22 * 60, 6 * 60 }, day = { 8 * 60, 17 * 60 };

	(void)state;
	assert_true(shipper_is_open(&night, 22 * 60) && shipper_is_open(&night, 0) && shipper_is_open(&night, 359));
	assert_false(shipper_is_open(&night, 360) || shipper_is_open(&night, 22 * 60 - 1));
	assert_true(shipper_is_open(&day, 8 * 60) && shipper_is_open(&day, 17 * 60 - 1));
	assert_false(shipper_is_open(&day, 17 * 60) || shipper_is_open(&day, 8 * 60 - 1));
}

#define D "destinations: [{name: a, url: \"https://a\", classes: [metric]"

static void
what_is_wrong_is_named_with_its_place(void **state)
{
	static const struct {
		const char *section, *text;
	} rows[] = {
		{ "bandwidth: fast", "must be a size" },
		{ "bandwidth: 100", "must be a size" },
		{ "bandwidth: 5g", "must be a size" },
		{ "hours: 22:00-06:00", "must be a mapping of classes" },
		{ "hours: {alert: \"22:00-06:00\"}", "is none of metric" },
		{ "hours: {heartbeat: \"22:00-06:00\"}", "is none of metric" },
		{ "hours: {logs: \"22:00-06:00\"}", "is none of metric" },
		{ "hours: {log: \"22-06\"}", "must be HH:MM" },
		{ "hours: {log: \"24:00-06:00\"}", "must be HH:MM" },
		{ "hours: {log: \"22:00-06:60\"}", "must be HH:MM" },
		{ "hours: {log: \"06:00-06:00\"}", "must be HH:MM" },
		{ "hours: {log: \"2a:00-06:00\"}", "must be HH:MM" },
		{ "hours: {log: \"22.00-06:00\"}", "must be HH:MM" },
		{ "destinations: here", "must be a list of at most" },
		{ "destinations: [a]", "must be a list of mappings" },
		{ "destinations: [{name: a}]", "needs name, url and classes" },
		{ D "}, {name: a, url: \"https://b\", classes: [log]}]", "has the name of another" },
		{ D ", name: A}]", NULL },
		{ "destinations: [{name: Big}]", "small letters" },
		{ "destinations: [{name: hub}]", "small letters" },
		{ "destinations: [{name: abcdefghijklmnopqrstuvwxyz0123456}]", "small letters" },
		{ "destinations: [{url: \"http://far:1\"}]", "must be https" },
		{ "destinations: [{url: \"https://u:p@h\"}]", "must be https" },
		{ "destinations: [{url: \"https://\"}]", "must be https" },
		{ "destinations: [{headers_file: h}]", "must be an absolute path" },
		{ "destinations: [{ca: h}]", "must be an absolute path" },
		{ "destinations: [{classes: metric}]", "must be a list, as" },
		{ "destinations: [{classes: [result]}]", "is none of metric, log" },
		{ "destinations: [{classes: [heartbeat]}]", "is none of metric, log" },
		{ "destinations: [{instead: maybe}]", "must be true or false" },
	};
	struct scratch *dir = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);
		struct ship_settings s;
		char text[512];

		(void)snprintf(text, sizeof(text), "telemetry:\n  %s\n", rows[i].section);
		if (read_text(&s, dir, text) != REASON_MALFORMED || refuse_count(REASON_MALFORMED) != before + 1 ||
			(rows[i].text && !strstr(refuse_last()->text, rows[i].text)) ||
			strncmp(refuse_last()->place, "mainstay.yaml:", 14) != 0)
			fail_msg("%s: %s", rows[i].section, refuse_last()->text);
	}
}

static void
an_unknown_key_is_asked_about(void **state)
{
	uint64_t before = refuse_count(REASON_UNKNOWN_FIELD);
	struct ship_settings s;

	assert_int_equal(read_text(&s, *state, "telemetry:\n  destinations: [{nam: a}]\n"), REASON_UNKNOWN_FIELD);
	assert_int_equal(refuse_count(REASON_UNKNOWN_FIELD), before + 1);
	assert_non_null(strstr(refuse_last()->text, "did you mean \"name\""));
}

static void
a_file_that_is_no_file_is_refused(void **state)
{
	struct scratch *dir = *state;
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	static char big[70000];
	struct ship_settings s;

	memset(big, '#', sizeof(big) - 1);
	assert_int_equal(read_text(&s, dir, big), REASON_TOO_LARGE);
	assert_true(refuse_count(REASON_TOO_LARGE) > before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_is_said_is_read),
		T(nothing_said_means_the_hub_at_any_time),
		T(hours_may_pass_midnight),
		T(what_is_wrong_is_named_with_its_place),
		T(an_unknown_key_is_asked_about),
		T(a_file_that_is_no_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
