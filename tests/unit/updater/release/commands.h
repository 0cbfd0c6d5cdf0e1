/* The commands of mainstay-release in this very process, where a scratch folder is: keys without a passphrase, a
 * repository of them, and a service that is one script. */
#pragma once

#include "updater/release/release_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"

#define COMMANDS_BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)

static struct scratch scratch;

/* One command line, words parted by blanks.  Returns its exit code. */
static inline int
commands_run(const char *line)
{
	static const struct command_program program = {
		.name = "mainstay-release",
		.tables = RELEASE_COMMANDS_TABLES,
		.options = release_commands_options,
	};
	char text[4096], *rest = text, *argv[64] = { (char *)"mainstay-release" };
	int argc = 1;

	(void)snprintf(text, sizeof(text), "%s", line);
	while (rest)
		argv[argc++] = strsep(&rest, " ");
	return command_main(&program, argc, argv);
}

/* What the shell does first, in the scratch folder. */
static inline void
commands_shell(const char *text)
{
	if (scratch_run(&scratch, (const char *const[]){ "sh", "-ec", text, NULL }, NULL, 0, NULL) != 0)
		fail_msg("sh: %s", text);
}

struct commands_row {
	const char *line;
	enum reason reason;
	const char *operand, *says;
	const char *shell; /* before it; NULL: nothing */
};

/* Refused once, for this reason and in these words, and nothing was written. */
static inline void
commands_refused(const struct commands_row *row)
{
	uint8_t before[32], after[32];
	uint64_t count = refuse_count(row->reason);
	int code;

	if (row->shell)
		commands_shell(row->shell);
	scratch_digest(&scratch, before);
	code = commands_run(row->line);
	scratch_digest(&scratch, after);
	if (code != (row->reason == REASON_USAGE ? 2 : 1) || refuse_count(row->reason) != count + 1)
		fail_msg("%s: exit %d, %s", row->line, code, refuse_last()->text);
	if (refuse_last()->reason != row->reason || strcmp(refuse_last()->operand, row->operand) != 0 ||
		!strstr(refuse_last()->text, row->says))
		fail_msg("%s: refused as %s: %s", row->line, refuse_last()->operand, refuse_last()->text);
	if (memcmp(before, after, sizeof(before)) != 0)
		fail_msg("%s: something was written", row->line);
}

static inline int
commands_set_up(void **state)
{
	const struct release_keys_plan plan = { .n_root = 2, .n_officers = 1, .plain = true };
	struct release_keys keys = { .n = 0 };
	SCOPED(scope_close) int tree = -1;
	static const char service[] = "name: tiny\nversion: \"1.0\"\nexec: [/bin/run]\npayload: {tree: tree}\n";

	(void)state;
	clock_fake(COMMANDS_BEGIN, 0);
	scratch_make(&scratch);
	assert_int_equal(chdir(scratch.path), 0);
	assert_int_equal(release_keys_make(&keys, "keys", &plan), 0);
	assert_int_equal(release_repo_init("repo", &keys, 2, 2, 1, 1, COMMANDS_BEGIN), 0);
	release_keys_done(&keys);
	assert_int_equal(fs_open_dir(&tree, AT_FDCWD, "tiny/tree/bin", 0755), 0);
	assert_int_equal(fs_replace(tree, "run", "#!/bin/sh\n", 10, 0755), 0);
	assert_int_equal(fs_replace_path("tiny/service.yaml", service, strlen(service), 0644), 0);
	return 0;
}

static inline int
commands_tear_down(void **state)
{
	(void)state;
	clock_real();
	assert_int_equal(chdir("/"), 0);
	scratch_remove(&scratch);
	return 0;
}

#define COMMANDS_TEST(fn) cmocka_unit_test_setup_teardown(fn, commands_set_up, commands_tear_down)
