/* mainstay alert …: what it says without asking anybody. */
#include "telemetry/collect/rules_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

#define RULES "rules:\n  - {service: host, name: Full, metric: free, op: below, value: 5, text: t}\n"
#define TEST  "rules: r.yaml\ntests:\n  - name: one\n    series: [{metric: free, service: host, values: \"9 4x5\"}]\n    expect:\n"

static char said[8192];

/* Run `mainstay WORDS…` (ends with NULL); its exit code. */
static int
run(const char *const *words)
{
	static const struct command_program program = { .name = "mainstay", .summary = "test", .tables = { rules_commands } };
	char texts[12][256] = { "mainstay" }, *argv[13];
	int argc = 1, saved, code, file;
	ssize_t n;

	for (; *words; words++)
		(void)snprintf(texts[argc++], sizeof(texts[0]), "%s", *words);
	for (int i = 0; i < argc; i++)
		argv[i] = texts[i];
	argv[argc] = NULL;
	(void)fflush(stdout);
	saved = dup(1);
	file = memfd_create("said", MFD_CLOEXEC);
	assert_int_equal(dup2(file, 1), 1);
	code = command_main(&program, argc, argv);
	(void)fflush(stdout);
	assert_int_equal(dup2(saved, 1), 1);
	close(saved);
	n = pread(file, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(file);
	return code;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static void
rules_that_do_otherwise_are_shown_and_fail(void **state)
{
	struct scratch *s = *state;
	uint64_t before = refuse_count(REASON_CONFLICT);
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/t.yaml", s->path);
	scratch_write(s, "r.yaml", RULES, strlen(RULES));
	scratch_write(s, "t.yaml", TEST "      - {at: 0s}\n      - {at: 15s, firing: [Full]}\n",
		strlen(TEST "      - {at: 0s}\n      - {at: 15s, firing: [Full]}\n"));
	assert_int_equal(RUN("alert", "test", path), 0);
	assert_non_null(strstr(said, "2 of 2 expectations are met"));
	assert_int_equal(refuse_count(REASON_CONFLICT), before);
	scratch_write(s, "t.yaml", TEST "      - {at: 0s}\n      - {at: 15s}\n", strlen(TEST "      - {at: 0s}\n      - {at: 15s}\n"));
	assert_int_equal(RUN("alert", "test", path), 1);
	assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
	assert_non_null(strstr(said, "Full firing"));
	assert_non_null(strstr(said, "nothing"));
	assert_int_equal(RUN("alert", "test", path, "--json"), 1);
	assert_non_null(strstr(said, "\"expected\":\"nothing\""));
}

static void
a_time_that_is_none_mutes_nothing(void **state)
{
	struct scratch *s = *state;
	uint64_t before = refuse_count(REASON_USAGE);

	assert_int_equal(RUN("alert", "mute", "redis", "--for", "soon", "--reason", "x", "--state", s->path), 2);
	assert_int_equal(refuse_count(REASON_USAGE), before + 1);
	assert_string_equal(said, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rules_that_do_otherwise_are_shown_and_fail, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_time_that_is_none_mutes_nothing, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
