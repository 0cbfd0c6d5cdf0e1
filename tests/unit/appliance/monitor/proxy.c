#include "appliance/monitor/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

static void
a_proxy_is_a_url_with_a_host(void **state)
{
	static const struct {
		const char *url;
		bool good;
	} rows[] = {
		{ "http://proxy:3128", true },
		{ "https://proxy.example:3128/", true },
		{ "http://ann:se%40cret@[::1]:3128", true },
		{ "http://ann:a@b@proxy:3128", true },
		{ "proxy:3128", false },
		{ "socks5://proxy:3128", false },
		{ "http://", false },
		{ "http://:3128", false },
		{ "http://ann:secret@", false },
		{ "http://proxy:3128/path", false },
		{ "http://proxy:3128/?x", false },
		{ "http://proxy:3128#x", false },
		{ "http://pro xy:3128", false },
		{ "http://proxy:3128\n", false },
		{ "http://pr\xc3\xb6xy", false },
	};
	char longest[PROXY_MAX + 16] = "http://";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_USAGE);
		int r = proxy_check(rows[i].url);

		if (r != (rows[i].good ? 0 : REASON_USAGE))
			fail_msg("%s: %d", rows[i].url, r);
		assert_int_equal(refuse_count(REASON_USAGE) - before, !rows[i].good);
		/* A password is in no message. */
		assert_true(rows[i].good || !strstr(refuse_last()->text, "secret"));
	}
	memset(longest + 7, 'a', PROXY_MAX - 8);
	assert_int_equal(proxy_check(longest), 0);
	longest[PROXY_MAX - 1] = 'a';
	assert_int_equal(proxy_check(longest), REASON_USAGE);
}

static void
it_is_shown_without_its_login(void **state)
{
	static const char *const rows[][2] = {
		{ "http://proxy:3128", "http://proxy:3128" },
		{ "http://ann:secret@proxy:3128", "http://proxy:3128" },
		{ "https://ann:a@secret@proxy:3128/", "https://proxy:3128/" },
		{ "", "" },
		{ "secret", "" },
	};
	char shown[PROXY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(proxy_shown(shown, rows[i][0]), rows[i][1]);
}

static void
the_file_is_one_line(void **state)
{
	static const struct {
		const char *text, *proxy;
		enum reason reason;
	} rows[] = {
		{ "http://proxy:1\n", "http://proxy:1", REASON_NONE },
		{ "http://proxy:1 \n\n", "http://proxy:1", REASON_NONE },
		{ "", "", REASON_NONE },
		{ "\n", "", REASON_NONE },
		{ "http://a:1\nhttp://b:1\n", "", REASON_USAGE },
		{ "proxy", "", REASON_USAGE },
	};
	static const char nul[] = "http://a\0:1";
	char huge[PROXY_MAX + 2], out[PROXY_MAX];
	struct scratch *s = *state;
	uint64_t before;

	assert_int_equal(proxy_read(out, s->path), REASON_NOT_FOUND);
	assert_int_equal(proxy_read(out, "/nowhere/at/all"), REASON_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		scratch_put(s, PROXY_FILE, rows[i].text, strlen(rows[i].text));
		assert_int_equal(proxy_read(out, s->path), rows[i].reason);
		assert_string_equal(out, rows[i].proxy);
	}
	before = refuse_count(REASON_MALFORMED);
	scratch_put(s, PROXY_FILE, nul, sizeof(nul));
	assert_int_equal(proxy_read(out, s->path), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_string_equal(out, "");
	memset(huge, 'a', sizeof(huge));
	before = refuse_count(REASON_TOO_LARGE);
	scratch_put(s, PROXY_FILE, huge, sizeof(huge));
	assert_int_equal(proxy_read(out, s->path), REASON_TOO_LARGE);
	assert_true(refuse_count(REASON_TOO_LARGE) > before);
	assert_string_equal(out, "");
}

static void
what_a_command_was_given_is_kept_for_its_owner(void **state)
{
	struct scratch *s = *state;
	char out[PROXY_MAX] = "";
	struct stat st;

	assert_int_equal(proxy_option(out, s->path, NULL), 0);
	assert_string_equal(out, "");
	assert_int_equal(proxy_option(out, s->path, "http://ann:secret@proxy:1"), 0);
	assert_string_equal(out, "http://ann:secret@proxy:1");
	assert_int_equal(fstatat(s->fd, PROXY_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* What is no proxy takes nothing back. */
	assert_int_equal(proxy_option(out, s->path, "proxy"), REASON_USAGE);
	out[0] = '\0';
	assert_int_equal(proxy_option(out, s->path, NULL), 0);
	assert_string_equal(out, "http://ann:secret@proxy:1");
	assert_int_equal(proxy_option(out, s->path, ""), 0);
	assert_string_equal(out, "");
	assert_int_equal(fstatat(s->fd, PROXY_FILE, &st, 0), -1);
	assert_int_equal(proxy_option(out, s->path, ""), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proxy_is_a_url_with_a_host),
		cmocka_unit_test(it_is_shown_without_its_login),
		cmocka_unit_test_setup_teardown(the_file_is_one_line, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_a_command_was_given_is_kept_for_its_owner, scratch_setup,
			scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
