/* The commands about services: what they refuse before they ask anybody. */
#include "appliance/monitor/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

static const struct command_program program = {
	.name = "mainstay", .tables = { commands_service }, .needs_state = true
};

static int
run(const struct scratch *s, const char *line)
{
	char text[256], *rest = text, *argv[16] = { (char *)"mainstay", (char *)"--state", (char *)s->path };
	int argc = 3;

	(void)snprintf(text, sizeof(text), "%s", line);
	while (rest)
		argv[argc++] = strsep(&rest, " ");
	return command_main(&program, argc, argv);
}

static void
arguments_that_cannot_be(void **state)
{
	static const struct {
		const char *line;
		enum reason reason;
		const char *operand, *says;
	} rows[] = {
		{ "service secret show redis password", REASON_USAGE, "show", "is none of list, set, rotate" },
		{ "service secret list redis password", REASON_USAGE, "list", "takes NAME" },
		{ "service secret rotate redis", REASON_USAGE, "rotate", "takes NAME and KEY" },
		{ "service secret set redis", REASON_USAGE, "set", "takes NAME and KEY" },
		{ "service secret set redis password", REASON_USAGE, "--value-file", "it is never an argument" },
		{ "service secret set redis password --value-file /nowhere", REASON_NOT_FOUND, "/nowhere", "" },
		{ "service logs ../etc", REASON_USAGE, "../etc", "is no service's name" },
		{ "service logs redis", REASON_NOT_FOUND, "redis", "it has written no log here" },
		{ "service logs redis --lines many", REASON_USAGE, "many", "is no number of lines" },
	};
	struct scratch s;

	(void)state;
	scratch_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t count = refuse_count(rows[i].reason);
		uint8_t before[32], after[32];
		int code;

		scratch_digest(&s, before);
		code = run(&s, rows[i].line);
		scratch_digest(&s, after);
		if (code != refuse_exit_code((int)rows[i].reason) || refuse_count(rows[i].reason) != count + 1 ||
			strcmp(refuse_last()->operand, rows[i].operand) != 0 || !strstr(refuse_last()->text, rows[i].says))
			fail_msg("%s: exit %d, %s: %s", rows[i].line, code, refuse_last()->operand, refuse_last()->text);
		assert_memory_equal(before, after, sizeof(before));
	}
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
