#include "telemetry/store/store_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/store/hub_ask.h"

/* What the hub was asked last, how often, and what it says. */
static char asked[1024];
static int times;
static const char *answer, *after_that;

static int
get(struct command_call *call, const char *path, json_t **ret)
{
	(void)call;
	(void)snprintf(asked, sizeof(asked), "%s", path);
	*ret = json_loads(times++ > 0 && after_that ? after_that : answer, 0, NULL);
	return 0;
}

static int
run(const char *a, const char *b, const char *c, const char *d)
{
	static const struct command_program program = { .name = "mainstay-desk", .summary = "test", .tables = { store_commands } };
	static const struct hub_ask ask = { .get = get };
	char *argv[] = { (char *)(uintptr_t)"mainstay-desk", (char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c,
		(char *)(uintptr_t)d, NULL };
	int argc = d ? 5 : c ? 4 : 3;

	hub_ask_by(&ask);
	asked[0] = '\0';
	times = 0;
	return command_main(&program, argc, argv);
}

static void
test_a_command_asks_for_what_was_typed(void **state)
{
	static const struct {
		const char *argv[4], *path;
	} rows[] = {
		{ { "metrics", "a/b", "x y", NULL }, "/v1/fleet/sites/a%2Fb/metrics?name=x%20y" },
		{ { "metrics", "s", "m", "--from=2026-11-21T20:30:00Z" }, "/v1/fleet/sites/s/metrics?name=m&from=2026-11-21T20%3A30%3A00.000Z" },
		{ { "metrics", "s", "--match=a=~b", "--csv" }, "/v1/fleet/sites/s/metrics?match=a%3D~b" },
		{ { "logs", "s", "nginx", "--severity=error" }, "/v1/fleet/sites/s/logs?service=nginx&severity=17&last=100" },
		{ { "logs", "s", "--grep=a&b", NULL }, "/v1/fleet/sites/s/logs?match=a%26b&last=100" },
		{ { "inventory", "s", "os", "--changes" }, "/v1/fleet/sites/s/inventory?group=os&changes=1" },
	};

	(void)state;
	answer = "{\"items\":[]}";
	after_that = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(run(rows[i].argv[0], rows[i].argv[1], rows[i].argv[2], rows[i].argv[3]), 0);
		assert_string_equal(asked, rows[i].path);
	}
}

static void
test_every_page_is_read(void **state)
{
	(void)state;
	answer = "{\"items\":[{\"name\":\"m\",\"service\":\"s\",\"points\":[[\"t\",1],[\"t\",null]]}],\"next\":200}";
	after_that = "{\"items\":[{\"labels\":{\"a\":\"=b\"},\"points\":[[\"t\",1]]}]}";
	assert_int_equal(run("metrics", "s", "m", NULL), 0);
	assert_string_equal(asked, "/v1/fleet/sites/s/metrics?name=m&offset=200");
	assert_int_equal(times, 2);
	answer = "{\"items\":[{\"body\":\"x\"}],\"next\":\"1.2.3\",\"cursor\":4}";
	after_that = "{\"items\":[],\"cursor\":4}";
	assert_int_equal(run("logs", "s", "--since=2026-11-21T20:30:00Z", "--json"), 0);
	assert_string_equal(asked, "/v1/fleet/sites/s/logs?from=2026-11-21T20%3A30%3A00.000Z&after=1.2.3");
	assert_int_equal(times, 2);
}

static void
test_what_cannot_be_meant_is_refused_before_the_hub_is_asked(void **state)
{
	static const char *const rows[][3] = { { "metrics", "m", "--from=yesterday" }, { "logs", "x", "--severity=loud" },
		{ "logs", "x", "--since=soon" }, { "inventory", "os", "--to=x" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_USAGE);

		assert_int_equal(run(rows[i][0], "s", rows[i][1], rows[i][2]), 2);
		assert_int_equal(refuse_count(REASON_USAGE), before + 1);
		assert_int_equal(times, 0);
	}
}

static void
test_an_answer_that_is_none_is_refused(void **state)
{
	static const char *const rows[][2] = { { "metrics", "m" }, { "logs", "x" }, { "inventory", "os" }, { "metrics", NULL } };

	(void)state;
	answer = "{\"items\":7}";
	after_that = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(run(rows[i][0], "s", rows[i][1], NULL), 1);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_asks_for_what_was_typed),
		cmocka_unit_test(test_every_page_is_read),
		cmocka_unit_test(test_what_cannot_be_meant_is_refused_before_the_hub_is_asked),
		cmocka_unit_test(test_an_answer_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
