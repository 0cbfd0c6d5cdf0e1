/* The updater's commands: what they refuse before they ask anybody. */
#include "updater/activate/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

static const struct command *
find(const char *name)
{
	const struct command *c = commands_update;

	while (c->name && strcmp(c->name, name) != 0)
		c++;
	assert_non_null(c->name);
	return c;
}

static int
run(const struct scratch *s, const char *name, const char *const *operands, size_t n)
{
	static const struct command_program program = {
		.name = "mainstay", .tables = { commands_update }, .needs_state = true
	};
	struct command_call call = { .program = &program,
		.command = find(name),
		.json = true,
		.operands = (char *const *)(uintptr_t)operands,
		.n_operands = n };

	snprintf(call.paths.run, sizeof(call.paths.run), "%s", s->path);
	return call.command->run(&call);
}

static void
accept_needs_items(void **state)
{
	static const char *const operands[] = { "redis", "operation" };
	uint64_t before = refuse_count(REASON_USAGE);
	struct scratch s;
	int r;

	(void)state;
	scratch_make(&s);
	r = run(&s, "service accept", operands, 2);
	assert_int_equal(r, REASON_USAGE);
	assert_int_equal(refuse_exit_code(r), 2);
	assert_int_equal(refuse_count(REASON_USAGE), before + 1);
	assert_non_null(strstr(refuse_last()->text, "accept NAME operation ITEM..."));
	scratch_remove(&s);
}

static void
without_a_monitor_they_are_unreachable(void **state)
{
	static const char *const names[] = { "service install", "service remove", "service accept",
		"update check", "update plan", "update apply", "update status", "update history",
		"update hold", "update unhold", "update rollback" };
	static const char *const operands[] = { "redis" };
	struct scratch s;

	(void)state;
	scratch_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(refuse_exit_code(run(&s, names[i], operands, 1)), 3);
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(accept_needs_items),
		cmocka_unit_test(without_a_monitor_they_are_unreachable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
