#include "updater/release/release_package.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "updater/release/release_listing.h"

static void
patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool match;
	} rows[] = {
		{ "/usr/bin/a",       "/usr/bin/a",         true  },
		{ "/usr/bin/a",       "/usr/bin/ab",        false },
		{ "/usr/bin/ab",      "/usr/bin/a",         false },
		{ "/usr/bin/*",       "/usr/bin/a",         true  },
		{ "/usr/bin/*",       "/usr/bin/a/b",       false },
		{ "/usr/bin/*",       "/usr/bin",           false },
		{ "/usr/*/a",         "/usr/bin/a",         true  },
		{ "/usr/*/a",         "/usr/lib/x/a",       false },
		{ "/usr/lib/*.so",    "/usr/lib/x.so",      true  },
		{ "/usr/lib/*.so",    "/usr/lib/x.so.1",    false },
		{ "/usr/lib/*.so*",   "/usr/lib/x.so.1",    true  },
		{ "/usr/lib/x?.so",   "/usr/lib/xy.so",     true  },
		{ "/usr/lib?x",       "/usr/lib/x",         false },
		{ "/usr/**",          "/usr/lib/x/y",       true  },
		{ "/usr/**/y",        "/usr/lib/x/y",       true  },
		{ "/usr/**/y",        "/usr/lib/x/z",       false },
		{ "/usr/**.so",       "/usr/lib/x/z.so",    true  },
		{ "/usr/**/*.so",     "/usr/lib/x/z.so",    true  },
		{ "/usr/**",          "/var/lib",           false },
		{ "/usr/[a]",         "/usr/a",             false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (release_package_match(rows[i].pattern, rows[i].path) != rows[i].match)
			fail_msg("%s, %s", rows[i].pattern, rows[i].path);
	}
}

static void
need_dpkg(void)
{
	if (access("/usr/bin/dpkg-query", X_OK) != 0)
		skip(); /* no Debian */
}

static bool
holds(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!strcmp(json_string_value(json_array_get(list, i)), text))
			return true;
	}
	return false;
}

static void
the_files_of_a_package(void **state)
{
	SCOPED_JSON *list = json_array();
	uint64_t before = refuse_count(REASON_NOT_FOUND);

	(void)state;
	need_dpkg();
	assert_int_equal(release_package_files(list, "redis-tools"), 0);
	assert_true(holds(list, "/usr/bin/redis-cli"));
	assert_true(holds(list, "/usr/bin"));
	assert_false(holds(list, "/."));
	json_array_clear(list);
	assert_int_equal(release_package_files(list, "no-such-package"), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->operand, "no-such-package");
	assert_string_equal(refuse_last()->text,
		"is not installed on this machine: apt-get install no-such-package");
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_int_equal(json_array_size(list), 0);
}

/* Under the name that dpkg knows and under the one that the merged folders give; many at a time. */
static void
who_brought_a_file(void **state)
{
	SCOPED_JSON *paths = json_array(), *owners = NULL;

	(void)state;
	need_dpkg();
	for (int i = 0; i < 250; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/no/such/file-%d", i);
		(void)json_array_append_new(paths, json_string(path));
	}
	(void)json_array_append_new(paths, json_string("/usr/bin/redis-cli"));
	(void)json_array_append_new(paths, json_string("/bin/redis-cli"));
	assert_int_equal(release_package_owners(&owners, paths), 0);
	assert_int_equal(json_object_size(owners), 2);
	assert_string_equal(json_text(owners, "/usr/bin/redis-cli"), "redis-tools");
	assert_string_equal(json_text(owners, "/bin/redis-cli"), "redis-tools");
}

static void
what_is_known_of_packages(void **state)
{
	SCOPED_JSON *names = json_pack("[s, s]", "redis-tools", "no-such-package"), *facts = NULL;
	const json_t *one;

	(void)state;
	need_dpkg();
	assert_int_equal(release_package_facts(&facts, names), 0);
	assert_int_equal(json_object_size(facts), 1);
	one = json_object_get(facts, "redis-tools");
	assert_string_equal(json_text(one, "name"), "redis-tools");
	assert_string_equal(json_text(one, "source"), "redis");
	assert_non_null(strchr(json_text(one, "version"), '.'));
	assert_true(*json_text(one, "architecture") && *json_text(one, "maintainer"));
}

static void
more_packages_than_a_release_has(void **state)
{
	SCOPED_JSON *names = json_array(), *facts = NULL;
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	(void)state;
	for (int i = 0; i <= 200; i++)
		(void)json_array_append_new(names, json_string("libc6"));
	assert_int_equal(release_package_facts(&facts, names), REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->text, "comes from more than 200 packages");
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_null(facts);
}

static void
what_another_program_prints(void **state)
{
	static const char *const none[] = { "/no/such/program", NULL },
				 *const much[] = { "/usr/bin/head", "-c", "300000", "/dev/zero", NULL },
				 *const bad[] = { "/usr/bin/head", "/none", NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(4096), small = BUF_MAX(100000), empty = BUF_MAX(100000);
	uint64_t before = refuse_count(REASON_NOT_FOUND), large = refuse_count(REASON_TOO_LARGE);
	int status;

	(void)state;
	assert_int_equal(release_listing(none, &b, &status), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->operand, "/no/such/program");
	assert_string_equal(refuse_last()->text, "is not on this machine");
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_int_equal(release_listing(much, &small, &status), REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->text, "prints more than we read");
	assert_int_equal(refuse_count(REASON_TOO_LARGE), large + 1);
	assert_int_equal(release_listing(bad, &empty, &status), 0);
	assert_int_equal(empty.len, 0);
	assert_int_not_equal(status, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns),
		cmocka_unit_test(the_files_of_a_package),
		cmocka_unit_test(who_brought_a_file),
		cmocka_unit_test(what_is_known_of_packages),
		cmocka_unit_test(more_packages_than_a_release_has),
		cmocka_unit_test(what_another_program_prints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
