/* From a service's folder to a repository that readers may trust: what building, signing, publishing and verifying refuse,
 * each row on what the shell made of good ones. */
#include "tests/unit/updater/release/commands.h"

#include "tests/fakes/refused.h"
#include "updater/release/release_publish.h"

static void
good(const char *line)
{
	if (commands_run(line) != 0)
		fail_msg("%s: %s", line, refuse_last()->text);
}

static void
publish_tiny(void)
{
	good("build tiny -o built");
	good("sign built --key keys/targets.key");
	good("publish built --to repo");
}

/* --- building -------------------------------------------------------------------------------------------- */
#define SERVICE(payload)                                                                                                \
	"rm -rf svc; cp -a tiny svc; echo x >svc/x; "                                                                    \
	"sed -i 's|payload:.*|payload: {tree: tree, " payload "}|' svc/service.yaml; "

static void
test_what_is_not_built(void **state)
{
	static const struct commands_row rows[] = {
		{ "build empty -o new", REASON_NOT_FOUND, "service.yaml", "is not there, no file or too large", "mkdir empty" },
		{ "build svc -o new", REASON_NOT_FOUND, "/bin/none", "exec names no program of the payload",
			"cp -a tiny svc; sed -i s,/bin/run,/bin/none, svc/service.yaml" },
		{ "build svc -o new", REASON_NOT_FOUND, "tree", "is no folder beside the definition", "rm -rf svc/tree" },
		{ "build svc -o new", REASON_CONFLICT, "bin/run/x", "bin/run is no folder of the tree",
			SERVICE("files: [{from: x, to: /bin/run/x}]") },
		{ "build svc -o new", REASON_CONFLICT, "bin/run", "two things of the payload claim this path",
			SERVICE("files: [{from: x, to: /bin/run}]") },
		{ "build svc -o new", REASON_UNSAFE_TREE, "x", "is no regular file",
			SERVICE("files: [{from: x, to: /x}]") "rm svc/x; mkfifo svc/x" },
		{ "build svc -o new", REASON_NOT_FOUND, "y", "cannot be opened", SERVICE("files: [{from: y, to: /y}]") },
		{ "lint svc", REASON_MALFORMED, "svc", "1 errors", SERVICE("files: [{from: y, to: /y}]") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		commands_refused(&rows[i]);
}

static void
test_programs_that_are_not_gathered(void **state)
{
	/* /lib64 is a link here: the tree would get the same, where it has a folder. */
	static const struct commands_row link = { "build svc -o new", REASON_CONFLICT, "lib64",
		"two things of the payload claim this path", SERVICE("programs: [/usr/bin/true]") "mkdir svc/tree/lib64" },
		package = { "build svc -o new", REASON_NOT_FOUND, "/none/*", "package base-files has nothing that matches it",
			"cp -a tiny svc; sed -i 's|payload:.*|payload: {tree: tree, packages: [{name: base-files, include: "
			"[\"/none/*\"]}]}|' svc/service.yaml" };

	(void)state;
	if (scratch_run(&scratch, (const char *const[]){ "test", "-L", "/lib64", "-a", "-x", "/usr/bin/dpkg-query", NULL }, NULL, 0,
		    NULL) != 0)
		skip(); /* no Debian with one /usr */
	commands_refused(&package);
	commands_refused(&link);
}

static void
test_what_another_machine_builds(void **state)
{
	static const struct commands_row rows[] = {
		{ "build svc --check built", REASON_ALTERED, "built", "1 differences", "cp -a tiny svc; echo >>svc/tree/bin/run" },
		{ "build tiny --check bad", REASON_NOT_FOUND, "release.json", "this is no built release",
			"cp -a built bad; rm bad/release.json" },
		{ "build tiny --check bad", REASON_MALFORMED, "release.json", "does not say how the release was built",
			"rm -r bad; cp -a built bad; sed -i 's/\"channel\"/\"chanel\"/' bad/release.json" },
		{ "build tiny --check bad", REASON_NOT_FOUND, "index.json", "this is no built release",
			"rm -r bad; cp -a built bad; rm bad/index.json" },
	};

	(void)state;
	good("build tiny -o built");
	good("build tiny --check built");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		commands_refused(&rows[i]);
}

/* --- publishing ------------------------------------------------------------------------------------------ */
static void
test_what_is_not_published(void **state)
{
	static const struct commands_row unsigned_[] = {
		{ "publish bad --to repo", REASON_NOT_FOUND, "bad", "has no objects", "cp -a built bad; mv bad/objects bad/none" },
		{ "publish bad --to repo", REASON_NOT_FOUND, "bad", "is no built release", "rm bad/index.json" },
		{ "publish built --to repo --keys few", REASON_UNKNOWN_KEY, "targets", "0 of its keys are here, where 1 must sign",
			"cp -a keys few; rm few/targets.key" },
	}, published[] = {
		{ "publish other --to repo", REASON_CONFLICT, "services/tiny/1.0/index.json", "give it a new version", NULL },
		{ "floor tiny 9 --to repo", REASON_CONFLICT, "tiny", "its newest release has counter 1", NULL },
	}, floored[] = {
		{ "floor tiny 1 --to repo", REASON_ROLLBACK, "tiny", "its floor is 2, and floors do not fall", NULL },
		{ "withdraw tiny 2.0 --to repo --reason why", REASON_CONFLICT, "services/tiny/2.0/index.json",
			"is the last that reaches the floor of 2", NULL },
		{ "publish other --to repo", REASON_REVOKED, "services/tiny/1.0/index.json", "this version was withdrawn", NULL },
	};

	(void)state;
	good("build tiny -o built");
	good("sign built --key keys/targets.key");
	for (size_t i = 0; i < ARRAY_LEN(unsigned_); i++)
		commands_refused(&unsigned_[i]);
	good("publish built --to repo");
	commands_shell("cp -a tiny svc; echo >>svc/tree/bin/run");
	good("build svc -o other");
	good("sign other --key keys/targets.key");
	for (size_t i = 0; i < ARRAY_LEN(published); i++)
		commands_refused(&published[i]);
	commands_shell("sed -i s/1[.]0/2.0/ svc/service.yaml");
	good("build svc -o two");
	good("sign two --key keys/targets.key");
	good("publish two --to repo");
	good("floor tiny 2 --to repo");
	good("withdraw tiny 1.0 --to repo --reason why");
	for (size_t i = 0; i < ARRAY_LEN(floored); i++)
		commands_refused(&floored[i]);
}

/* Signed, and not what it says it is. */
static void
test_what_does_not_fit_together(void **state)
{
	static const struct commands_row row = { "publish bad --to repo", REASON_ALTERED, "release.json",
		"was signed for another target", NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	SCOPED(scope_close) int objects = -1;
	uint64_t n;

	(void)state;
	good("build tiny -o built");
	commands_shell("cp -a built bad; sed -i 's|services/tiny/1.0/index.json|services/other/1.0/index.json|' bad/release.json");
	good("sign bad --key keys/targets.key");
	commands_refused(&row);
	commands_shell("sed 's/\"1[.]0\"/\"1.2\"/' built/index.json >index");
	scratch_read(&scratch, "index", &b);
	assert_int_equal(fs_open_dir(&objects, AT_FDCWD, "built/objects", 0755), 0);
	assert_refused(release_check(objects, b.data, b.len, &n), REASON_ALTERED, "is of tiny 1.0, the index of tiny 1.2");
	assert_string_equal(refuse_last()->operand, "definition.json");
}

static void
test_a_repository_is_made_of_all_its_keys(void **state)
{
	static const struct commands_row rows[] = {
		{ "init new --root-keys 2of3 --officers 1of1", REASON_UNKNOWN_KEY, "root-3", "this key is not here", NULL },
		{ "keys list --keys many", REASON_TOO_LARGE, "x", "more than 64 keys",
			"mkdir many; for i in $(seq 65); do cp keys/timestamp.key many/x.key; mv many/x.key many/k$i.key; done" },
		{ "card repo --hub facts -o card --keys few", REASON_THRESHOLD, "root", "1 of its keys are here",
			"mkdir few; cp keys/root-1.key few" },
		{ "expiry repo --within 400d", REASON_EXPIRED, "snapshot", "1 of its 1 keys renew it: mainstay-release refresh", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct commands_row row = rows[i];
		char name[16];

		if (row.reason == REASON_TOO_LARGE) { /* whichever comes last */
			assert_int_equal((commands_shell(row.shell), commands_run(row.line)), 1);
			(void)snprintf(name, sizeof(name), "%s", refuse_last()->operand);
			assert_int_equal(name[0], 'k');
			row.operand = name;
			row.shell = NULL;
		}
		commands_refused(&row);
	}
}

/* --- people ---------------------------------------------------------------------------------------------- */
#define ADA "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define SET "people set repo --name ada --key ada.pub --customers acme --roles "

static void
test_drafts_of_people(void **state)
{
	static const struct commands_row first[] = {
		{ SET "support,,enrol", REASON_USAGE, "support,,enrol", "roles are words", "echo " ADA " >ada.pub" },
		{ SET "support,\xff", REASON_USAGE, "support,\xff", "roles are words", "echo " ADA " >ada.pub" },
		{ SET "suport", REASON_USAGE, "suport", "is no role of an engineer: support, enrol, rollout; did you mean \"support\"?", NULL },
		{ "people set repo --name ada --key ada.pub --roles support --customers ,", REASON_USAGE, ",", "customers are words", NULL },
	}, drafted[] = {
		{ "people sign repo --key keys/root-1.key", REASON_UNKNOWN_KEY, "people", "none of these keys is an officer's", NULL },
		{ "people sign draft", REASON_USAGE, "--key", "name the officer's key", NULL },
		{ "people sign repo --in draft", REASON_UNSIGNED, "people.role.json", "no officer has signed it", NULL },
		{ "people sign repo --in bent", REASON_HASH_MISMATCH, "bent", "vouches for no people document",
			"sed 's|people/people.json|people/x|g' draft >bent" },
	}, signed_[] = {
		{ "people sign repo --in signed", REASON_CONFLICT, "people.role.json", "another draft", NULL },
		{ SET "support", REASON_TOO_LARGE, "people.json", "the draft cannot be read",
			"head -c 524289 /dev/zero >repo/draft/people.json" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		commands_refused(&first[i]);
	good(SET "support");
	good("people sign repo --out draft");
	for (size_t i = 0; i < ARRAY_LEN(drafted); i++)
		commands_refused(&drafted[i]);
	commands_shell("cp draft signed");
	good("people sign signed --key keys/officer-1.key");
	good(SET "support,enrol");
	for (size_t i = 0; i < ARRAY_LEN(signed_); i++)
		commands_refused(&signed_[i]);
}

/* --- verifying ------------------------------------------------------------------------------------------- */
#define BAD "rm -rf bad; cp -a repo bad; cd bad; "

static void
test_what_is_not_the_repositorys(void **state)
{
	static const struct commands_row rows[] = {
		{ "verify bad", REASON_TOO_LARGE, "timestamp.json", "more than 16384 bytes", BAD "truncate -s 16385 tuf/timestamp.json" },
		{ "verify bad", REASON_NOT_FOUND, "services/tiny/1.0/index.json", "cannot be opened",
			BAD "rm tuf/targets/services/tiny/1.0/*.index.json" },
		{ "verify bad", REASON_TOO_LARGE, "services/tiny/1.0/index.json", "has more than 16777216 bytes",
			BAD "truncate -s 16777217 tuf/targets/services/tiny/1.0/*.index.json" },
		{ "verify bad", REASON_ALTERED, "notes", "is not part of the repository", BAD "echo {} >tuf/notes" },
		{ "verify bad", REASON_ALTERED, "1.mirror.json", "is not part of the repository",
			BAD "cp tuf/1.snapshot.json tuf/1.mirror.json" },
		{ "verify bad", REASON_ALTERED, "9.snapshot.json", "holds version 1", BAD "cp tuf/1.snapshot.json tuf/9.snapshot.json" },
		{ "verify bad", REASON_ALTERED, "1.snapshot.json", "is not as it was written", BAD "echo >>tuf/1.snapshot.json" },
		{ "verify bad", REASON_THRESHOLD, "1.snapshot.json", "is not signed",
			BAD "sed -i 's/\"signatures\":[[][^]]*/\"signatures\":[/' tuf/1.snapshot.json" },
		{ "verify bad", REASON_ALTERED, "aa/notes", "is not part of the repository", BAD "mkdir -p objects/aa; echo >objects/aa/notes" },
		{ "verify bad", REASON_ALTERED, "targets/notes", "is not part of the repository", BAD "echo >tuf/targets/notes" },
		{ "verify bad", REASON_TOO_LARGE, "targets/notes", "cannot be read", BAD "truncate -s 16777217 tuf/targets/notes" },
		{ "verify bad", REASON_ALTERED, "z.json", "is a link", BAD "ln -s timestamp.json tuf/z.json" },
	};

	(void)state;
	publish_tiny();
	good("verify repo");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		commands_refused(&rows[i]);
}

/* Nothing points to what was replaced, and it may still not rot. */
static void
test_a_former_document_that_was_changed(void **state)
{
	char name[192];
	struct commands_row row = { "verify repo", REASON_HASH_MISMATCH, name, "its bytes are not what its name says", NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(256);

	(void)state;
	commands_shell("echo " ADA " >ada.pub");
	good(SET "support");
	good("people sign repo --keys keys");
	commands_shell("ls repo/tuf/targets/people >former");
	good(SET "support,enrol");
	good("people sign repo --keys keys");
	good("verify repo");
	scratch_read(&scratch, "former", &b);
	(void)snprintf(name, sizeof(name), "targets/people/%.*s", (int)strcspn(buf_text(&b), "\n"), buf_text(&b));
	commands_shell("echo >>repo/tuf/targets/people/$(cat former)");
	commands_refused(&row);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		COMMANDS_TEST(test_what_is_not_built),
		COMMANDS_TEST(test_programs_that_are_not_gathered),
		COMMANDS_TEST(test_what_another_machine_builds),
		COMMANDS_TEST(test_what_is_not_published),
		COMMANDS_TEST(test_what_does_not_fit_together),
		COMMANDS_TEST(test_a_repository_is_made_of_all_its_keys),
		COMMANDS_TEST(test_drafts_of_people),
		COMMANDS_TEST(test_what_is_not_the_repositorys),
		COMMANDS_TEST(test_a_former_document_that_was_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
