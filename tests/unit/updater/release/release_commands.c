/* What the commands of mainstay-release refuse of their arguments: in which words, with which exit code, and nothing is
 * written by it. */
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

#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define HEX   "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"

static struct scratch scratch;

static const struct command_program program = {
	.name = "mainstay-release",
	.tables = { release_commands, release_commands_keys_all, release_commands_roles_all },
	.options = release_commands_options,
};

/* argv of one command line, words parted by blanks; run where the scratch folder is. */
static int
run(const char *line)
{
	char text[4096], *rest = text, *argv[64] = { (char *)"mainstay-release" };
	int argc = 1;

	(void)snprintf(text, sizeof(text), "%s", line);
	while (rest)
		argv[argc++] = strsep(&rest, " ");
	return command_main(&program, argc, argv);
}

struct row {
	const char *line;
	enum reason reason;
	const char *operand, *says;
};

static void
refused(const struct row *row)
{
	uint8_t before[32], after[32];
	uint64_t count = refuse_count(row->reason);
	int code;

	scratch_digest(&scratch, before);
	code = run(row->line);
	scratch_digest(&scratch, after);
	if (code != (row->reason == REASON_USAGE ? 2 : 1) || refuse_count(row->reason) != count + 1)
		fail_msg("%s: exit %d, %s", row->line, code, refuse_last()->text);
	if (refuse_last()->reason != row->reason || strcmp(refuse_last()->operand, row->operand) != 0 ||
		!strstr(refuse_last()->text, row->says))
		fail_msg("%s: refused as %s: %s", row->line, refuse_last()->operand, refuse_last()->text);
	if (memcmp(before, after, sizeof(before)) != 0)
		fail_msg("%s: something was written", row->line);
}

static void
refused_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		refused(&rows[i]);
}

/* Keys without a passphrase, a repository of them, and a service that is one script. */
static int
setup(void **state)
{
	const struct release_keys_plan plan = { .n_root = 2, .n_officers = 1, .plain = true };
	struct release_keys keys = { .n = 0 };
	SCOPED(scope_close) int tree = -1;
	static const char *const wood[] = { "tuf", "objects", "draft" }; /* a repository without anything in it */
	static const char service[] = "name: tiny\nversion: \"1.0\"\nexec: [/bin/run]\npayload: {tree: tree}\n";

	(void)state;
	clock_fake(BEGIN, 0);
	scratch_make(&scratch);
	assert_int_equal(chdir(scratch.path), 0);
	assert_int_equal(release_keys_make(&keys, "keys", &plan), 0);
	assert_int_equal(release_repo_init("repo", &keys, 2, 2, 1, 1, BEGIN), 0);
	release_keys_done(&keys);
	assert_int_equal(fs_open_dir(&tree, AT_FDCWD, "tiny/tree/bin", 0755), 0);
	assert_int_equal(fs_replace(tree, "run", "#!/bin/sh\n", 10, 0755), 0);
	assert_int_equal(fs_replace_path("tiny/service.yaml", service, strlen(service), 0644), 0);
	for (size_t i = 0; i < ARRAY_LEN(wood); i++) {
		SCOPED(scope_close) int fd = -1;
		char path[32];

		(void)snprintf(path, sizeof(path), "wood/%s", wood[i]);
		assert_int_equal(fs_open_dir(&fd, AT_FDCWD, path, 0755), 0);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	clock_real();
	assert_int_equal(chdir("/"), 0);
	scratch_remove(&scratch);
	return 0;
}

/* --- options ------------------------------------------------------------------------------------------ */
#define KEY_4  " --add root=" HEX " --add root=" HEX " --add root=" HEX " --add root=" HEX
#define ADD_4  " --add " HEX " --add " HEX " --add " HEX " --add " HEX
#define PATH_4 " --path services/a/*/* --path services/a/*/* --path services/a/*/* --path services/a/*/*"

static void
test_options_that_say_nothing(void **state)
{
	static const struct row rows[] = {
		{ "init new --root-keys 2", REASON_USAGE, "--root-keys", "must be like 2of3" },
		{ "init new --root-keys 0of3", REASON_USAGE, "--root-keys", "must be like 2of3" },
		{ "init new --root-keys 3of2", REASON_USAGE, "--root-keys", "must be like 2of3" },
		{ "init new --root-keys 1of21", REASON_USAGE, "--root-keys", "must be like 2of3" },
		{ "init new --root-keys 1of1 --officers 1of1x", REASON_USAGE, "--officers", "must be like 2of3" },
		{ "build tiny", REASON_USAGE, "-o", "is missing" },
		{ "build tiny -o new --check built", REASON_USAGE, "--check", "leave out -o" },
		{ "build tiny -o new --class kernel", REASON_USAGE, "--class", "must be core or service" },
		{ "build tiny -o new --builder somebody", REASON_USAGE, "--builder", "must be a URI" },
		{ "expiry repo --within soon", REASON_USAGE, "--within", "must be a span like 14d" },
		{ "refresh repo --within soon", REASON_USAGE, "--within", "must be a span like 14d" },
		{ "refresh repo --valid long", REASON_USAGE, "--valid", "must be a span like 7d" },
		{ "keys new --dir new --root 0", REASON_USAGE, "--root", "from 1 to 20" },
		{ "keys new --dir new --root many", REASON_USAGE, "--root", "from 1 to 20" },
		{ "keys new --dir new --officers 21", REASON_USAGE, "--officers", "from 1 to 20" },
		{ "keys new --dir new --cost 9", REASON_USAGE, "--cost", "from 10 to 20" },
		{ "keys new --dir new --cost 21", REASON_USAGE, "--cost", "from 10 to 20" },
		{ "keys new --dir new --no-passphrase", REASON_USAGE, "--no-passphrase", "--name timestamp" },
		{ "keys passphrase keys/root-1.key --cost 9", REASON_USAGE, "--cost", "from 10 to 20" },
		{ "people set repo --name ada --until soon", REASON_USAGE, "--until", "or a span like 90d" },
		{ "people sign repo --key keys/officer-1.key --out d", REASON_USAGE, "people sign", "--key, --out and --in" },
		{ "people sign repo --in d --out d", REASON_USAGE, "people sign", "--key, --out and --in" },
		{ "root draft repo --out d --add root", REASON_USAGE, "add", "must be like root=KEY" },
		{ "root draft repo --out d --remove =" HEX, REASON_USAGE, "remove", "must be like root=KEY" },
		{ "root draft repo --out d --threshold a-name-as-long-as-no-role-has-one=1", REASON_USAGE, "threshold",
			"must be like root=KEY" },
		{ "root draft repo --out d --threshold a=1 --threshold b=1 --threshold c=1 --threshold d=1 --threshold e=1",
			REASON_USAGE, "threshold", "root names four roles" },
		{ "root draft repo --out d" KEY_4 KEY_4 KEY_4 KEY_4 " --add root=" HEX, REASON_USAGE, "--add", "at most 16" },
		{ "root draft repo --out d --threshold root=0", REASON_USAGE, "--threshold", "from 1 to 20" },
		{ "root draft repo --out d --threshold root=21", REASON_USAGE, "--threshold", "from 1 to 20" },
		{ "root draft repo --out d --valid long", REASON_USAGE, "--valid", "must be a span like 365d" },
		{ "delegate tiny --to repo --adopt --add " HEX, REASON_USAGE, "--adopt", "goes with --revoke" },
		{ "delegate tiny --to repo --threshold 0 --add " HEX, REASON_USAGE, "--threshold", "from 1 to 20" },
		{ "delegate tiny --to repo" ADD_4 ADD_4 ADD_4 ADD_4 " --add " HEX, REASON_USAGE, "--add", "at most 16" },
		{ "delegate tiny --to repo" PATH_4 PATH_4 PATH_4 PATH_4 " --path x --add " HEX, REASON_USAGE, "--path", "at most 16" },
		{ "floor tiny 0 --to repo", REASON_USAGE, "0", "a number from 1" },
		{ "floor tiny high --to repo", REASON_USAGE, "high", "a number from 1" },
		{ "renew people --to repo", REASON_USAGE, "people", "officers renew it" },
	};

	(void)state;
	refused_all(rows, ARRAY_LEN(rows));
	assert_int_equal(setenv("SOURCE_DATE_EPOCH", "soon", 1), 0);
	refused(&(struct row){ "build tiny -o new", REASON_USAGE, "SOURCE_DATE_EPOCH", "seconds since 1970" });
	assert_int_equal(unsetenv("SOURCE_DATE_EPOCH"), 0);
}

/* --- operands ----------------------------------------------------------------------------------------- */
static void
test_names_of_what_is_not_there(void **state)
{
	static const struct row rows[] = {
		{ "keys passphrase keys/none.key", REASON_NOT_FOUND, "keys/none.key", "no such key file" },
		{ "keys list --keys none", REASON_NOT_FOUND, "none", "no folder of keys" },
		{ "keys new --dir keys --name Root --no-passphrase", REASON_USAGE, "Root", "a key's name is a word" },
		{ "keys new --dir keys --name new --name root/4 --no-passphrase", REASON_USAGE, "root/4", "a key's name is a word" },
		{ "keys new --dir keys --name new --name root-1 --no-passphrase", REASON_CONFLICT, "root-1.key", "is there already" },
		{ "init repo --root-keys 2of2 --officers 1of1", REASON_CONFLICT, "repo", "is a repository already" },
		{ "lint none", REASON_NOT_FOUND, "none", "" },
		{ "build none -o new", REASON_NOT_FOUND, "none", "is no folder" },
		{ "build tiny --check none", REASON_NOT_FOUND, "none", "is no built release" },
		{ "sign tiny --key keys/targets.key", REASON_NOT_FOUND, "tiny", "is no built release" },
		{ "publish tiny --to repo", REASON_NOT_FOUND, "tiny", "is no built release" },
		{ "verify tiny/tree", REASON_NOT_FOUND, "tiny/tree", "has no folder tuf" },
		{ "verify wood", REASON_NOT_FOUND, "tuf/1.root.json", "is this a repository?" },
		{ "verify repo/tuf/1.root.json", REASON_NOT_FOUND, "repo/tuf/1.root.json", "is no folder" },
		{ "people set repo --name ada --key none.pub --roles support --customers acme", REASON_NOT_FOUND, "none.pub", "is no readable key file" },
		{ "people set repo --name ada --revoke", REASON_NOT_FOUND, "ada", "there is no such engineer" },
		{ "people set repo --name ada", REASON_USAGE, "ada", "a new engineer needs" },
		{ "people sign repo", REASON_NOT_FOUND, "people.json", "nobody is listed yet" },
		{ "people sign repo --in none", REASON_NOT_FOUND, "none", "is no readable draft" },
		{ "draft show none", REASON_NOT_FOUND, "none", "is no readable draft" },
		{ "floor tiny 1 --to repo", REASON_NOT_FOUND, "tiny", "no release of a service of this name" },
		{ "withdraw tiny 1.0 --to repo --reason why", REASON_NOT_FOUND, "services/tiny/1.0/index.json", "is not published" },
		{ "renew tiny --to repo", REASON_NOT_FOUND, "tiny", "no role that lists releases" },
	};

	(void)state;
	refused_all(rows, ARRAY_LEN(rows));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_options_that_say_nothing),
		TEST(test_names_of_what_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
