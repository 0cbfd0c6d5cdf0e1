/* What the commands of mainstay-release refuse of their arguments: in which words, with which exit code, and nothing is
 * written by it. */
#include "tests/unit/updater/release/commands.h"

#define HEX "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"

static void
refused_all(const struct commands_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		commands_refused(&rows[i]);
}

/* --- options ------------------------------------------------------------------------------------------ */
#define KEY_4  " --add root=" HEX " --add root=" HEX " --add root=" HEX " --add root=" HEX
#define ADD_4  " --add " HEX " --add " HEX " --add " HEX " --add " HEX
#define PATH_4 " --path services/a/*/* --path services/a/*/* --path services/a/*/* --path services/a/*/*"

static void
test_options_that_say_nothing(void **state)
{
	static const struct commands_row rows[] = {
		{ "init new --root-keys 2", REASON_USAGE, "--root-keys", "must be like 2of3", NULL },
		{ "init new --root-keys 0of3", REASON_USAGE, "--root-keys", "must be like 2of3", NULL },
		{ "init new --root-keys 3of2", REASON_USAGE, "--root-keys", "must be like 2of3", NULL },
		{ "init new --root-keys 1of21", REASON_USAGE, "--root-keys", "must be like 2of3", NULL },
		{ "init new --root-keys 1of1 --officers 1of1x", REASON_USAGE, "--officers", "must be like 2of3", NULL },
		{ "build tiny", REASON_USAGE, "-o", "is missing", NULL },
		{ "build tiny -o new --check built", REASON_USAGE, "--check", "leave out -o", NULL },
		{ "build tiny -o new --class kernel", REASON_USAGE, "--class", "must be core or service", NULL },
		{ "build tiny -o new --builder somebody", REASON_USAGE, "--builder", "must be a URI", NULL },
		{ "expiry repo --within soon", REASON_USAGE, "--within", "must be a span like 14d", NULL },
		{ "refresh repo --within soon", REASON_USAGE, "--within", "must be a span like 14d", NULL },
		{ "refresh repo --valid long", REASON_USAGE, "--valid", "must be a span like 7d", NULL },
		{ "keys new --dir new --root 0", REASON_USAGE, "--root", "from 1 to 20", NULL },
		{ "keys new --dir new --root many", REASON_USAGE, "--root", "from 1 to 20", NULL },
		{ "keys new --dir new --officers 21", REASON_USAGE, "--officers", "from 1 to 20", NULL },
		{ "keys new --dir new --cost 9", REASON_USAGE, "--cost", "from 10 to 20", NULL },
		{ "keys new --dir new --cost 21", REASON_USAGE, "--cost", "from 10 to 20", NULL },
		{ "keys new --dir new --no-passphrase", REASON_USAGE, "--no-passphrase", "--name timestamp", NULL },
		{ "keys passphrase keys/root-1.key --cost 9", REASON_USAGE, "--cost", "from 10 to 20", NULL },
		{ "people set repo --name ada --until soon", REASON_USAGE, "--until", "or a span like 90d", NULL },
		{ "people sign repo --key keys/officer-1.key --out d", REASON_USAGE, "people sign", "--key, --out and --in", NULL },
		{ "people sign repo --in d --out d", REASON_USAGE, "people sign", "--key, --out and --in", NULL },
		{ "root draft repo --out d --add root", REASON_USAGE, "add", "must be like root=KEY", NULL },
		{ "root draft repo --out d --remove =" HEX, REASON_USAGE, "remove", "must be like root=KEY", NULL },
		{ "root draft repo --out d --threshold a-name-as-long-as-no-role-has-one=1", REASON_USAGE, "threshold",
			"must be like root=KEY", NULL },
		{ "root draft repo --out d --threshold a=1 --threshold b=1 --threshold c=1 --threshold d=1 --threshold e=1",
			REASON_USAGE, "threshold", "root names four roles", NULL },
		{ "root draft repo --out d" KEY_4 KEY_4 KEY_4 KEY_4 " --add root=" HEX, REASON_USAGE, "--add", "at most 16", NULL },
		{ "root draft repo --out d --threshold root=0", REASON_USAGE, "--threshold", "from 1 to 20", NULL },
		{ "root draft repo --out d --threshold root=21", REASON_USAGE, "--threshold", "from 1 to 20", NULL },
		{ "root draft repo --out d --valid long", REASON_USAGE, "--valid", "must be a span like 365d", NULL },
		{ "delegate tiny --to repo --adopt --add " HEX, REASON_USAGE, "--adopt", "goes with --revoke", NULL },
		{ "delegate tiny --to repo --threshold 0 --add " HEX, REASON_USAGE, "--threshold", "from 1 to 20", NULL },
		{ "delegate tiny --to repo" ADD_4 ADD_4 ADD_4 ADD_4 " --add " HEX, REASON_USAGE, "--add", "at most 16", NULL },
		{ "delegate tiny --to repo" PATH_4 PATH_4 PATH_4 PATH_4 " --path x --add " HEX, REASON_USAGE, "--path", "at most 16", NULL },
		{ "floor tiny 0 --to repo", REASON_USAGE, "0", "a number from 1", NULL },
		{ "floor tiny high --to repo", REASON_USAGE, "high", "a number from 1", NULL },
		{ "renew people --to repo", REASON_USAGE, "people", "officers renew it", NULL },
	};

	(void)state;
	refused_all(rows, ARRAY_LEN(rows));
	assert_int_equal(setenv("SOURCE_DATE_EPOCH", "soon", 1), 0);
	commands_refused(&(struct commands_row){ "build tiny -o new", REASON_USAGE, "SOURCE_DATE_EPOCH", "seconds since 1970", NULL });
	assert_int_equal(unsetenv("SOURCE_DATE_EPOCH"), 0);
}

/* --- operands ----------------------------------------------------------------------------------------- */
static void
test_names_of_what_is_not_there(void **state)
{
	static const struct commands_row rows[] = {
		{ "keys passphrase keys/none.key", REASON_NOT_FOUND, "keys/none.key", "no such key file", NULL },
		{ "keys list --keys none", REASON_NOT_FOUND, "none", "no folder of keys", NULL },
		{ "keys new --dir keys --name Root --no-passphrase", REASON_USAGE, "Root", "a key's name is a word", NULL },
		{ "keys new --dir keys --name new --name root/4 --no-passphrase", REASON_USAGE, "root/4", "a key's name is a word", NULL },
		{ "keys new --dir keys --name new --name root-1 --no-passphrase", REASON_CONFLICT, "root-1.key", "is there already", NULL },
		{ "init repo --root-keys 2of2 --officers 1of1", REASON_CONFLICT, "repo", "is a repository already", NULL },
		{ "lint none", REASON_NOT_FOUND, "none", "", NULL },
		{ "build none -o new", REASON_NOT_FOUND, "none", "is no folder", NULL },
		{ "build tiny --check none", REASON_NOT_FOUND, "none", "is no built release", NULL },
		{ "sign tiny --key keys/targets.key", REASON_NOT_FOUND, "tiny", "is no built release", NULL },
		{ "publish tiny --to repo", REASON_NOT_FOUND, "tiny", "is no built release", NULL },
		{ "verify tiny/tree", REASON_NOT_FOUND, "tiny/tree", "has no folder tuf", NULL },
		{ "verify wood", REASON_NOT_FOUND, "tuf/1.root.json", "is this a repository?",
			"mkdir -p wood/tuf wood/objects wood/draft" },
		{ "verify repo/tuf/1.root.json", REASON_NOT_FOUND, "repo/tuf/1.root.json", "is no folder", NULL },
		{ "people set repo --name ada --key none.pub --roles support --customers acme", REASON_NOT_FOUND, "none.pub", "is no readable key file", NULL },
		{ "people set repo --name ada --revoke", REASON_NOT_FOUND, "ada", "there is no such engineer", NULL },
		{ "people set repo --name ada", REASON_USAGE, "ada", "a new engineer needs", NULL },
		{ "people sign repo", REASON_NOT_FOUND, "people.json", "nobody is listed yet", NULL },
		{ "people sign repo --in none", REASON_NOT_FOUND, "none", "is no readable draft", NULL },
		{ "draft show none", REASON_NOT_FOUND, "none", "is no readable draft", NULL },
		{ "floor tiny 1 --to repo", REASON_NOT_FOUND, "tiny", "no release of a service of this name", NULL },
		{ "withdraw tiny 1.0 --to repo --reason why", REASON_NOT_FOUND, "services/tiny/1.0/index.json", "is not published", NULL },
		{ "renew tiny --to repo", REASON_NOT_FOUND, "tiny", "no role that lists releases", NULL },
	};

	(void)state;
	refused_all(rows, ARRAY_LEN(rows));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		COMMANDS_TEST(test_options_that_say_nothing),
		COMMANDS_TEST(test_names_of_what_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
