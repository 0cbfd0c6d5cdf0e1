/* What the collector's unit is given for telemetry.listen, and that it is given nothing for anything else. */
#include "telemetry/collect/unit_listen.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pwd.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/config.h"
#include "tests/fakes/scratch.h"

/* In place of the library's: one who has no name on this host, either. */
static struct passwd user = { .pw_uid = 65534, .pw_gid = 65534 };
static struct group group = { .gr_gid = 65534 };
static const char *const users[] = { "mainstay-courier", "mainstay-collect", "mainstay-judge", "mainstay-notify" };
static const char *const groups[] = { "mainstay-read", "mainstay-shims" };
static size_t next_user, next_group;

struct passwd *
fgetpwent(FILE *f)
{
	(void)f;
	user.pw_name = (char *)(uintptr_t)users[next_user++ % 4];
	return &user;
}

struct group *
fgetgrent(FILE *f)
{
	(void)f;
	group.gr_name = (char *)(uintptr_t)groups[next_group++ % 2];
	return &group;
}

static void
what_the_unit_is_given(void **state)
{
	static const struct {
		const char *yaml, *text;
	} rows[] = {
		{ NULL, NULL },
		{ "", NULL },
		{ "telemetry:\n  period: 5s\n", NULL },
		{ "telemetry:\n  listen: 9190\n",
			"# telemetry.listen of mainstay.yaml: port 9190\n[Service]\nRestrictAddressFamilies=AF_INET\nIPAddressAllow=localhost\n" },
		{ "telemetry:\n  listen: \"[::1]:9190\"\n",
			"# telemetry.listen of mainstay.yaml: port 9190\n[Service]\nRestrictAddressFamilies=AF_INET6\nIPAddressAllow=localhost\n" },
		{ "telemetry:\n  listen: 192.0.2.7:9190\n",
			"# telemetry.listen of mainstay.yaml: port 9190\n[Service]\nRestrictAddressFamilies=AF_INET\nIPAddressDeny=\n" },
		{ "telemetry:\n  listen: 0.0.0.0:9190\n", NULL },
		{ "telemetry:\n  listen: 80\n", NULL },
		{ "telemetry:\n  listen: \"9190\\nRestrictAddressFamilies=\"\n", NULL },
		{ "telemetry: [\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf got = BUF_MAX(4096);
		SCOPED(scope_close) int etc = -1, out = -1;
		struct scratch s;
		struct paths paths;
		char dir[300];
		int r;

		scratch_make(&s);
		assert_int_equal(chmod(s.path, 0755), 0);
		assert_int_equal(fs_paths(&paths, s.path), 0);
		(void)snprintf(dir, sizeof(dir), "%s/generator", s.path);
		assert_int_equal(fs_open_dir(&out, AT_FDCWD, dir, 0755), 0);
		assert_int_equal(fs_open_dir(&etc, AT_FDCWD, paths.etc, 0755), 0);
		if (rows[i].yaml)
			assert_int_equal(fs_replace(etc, "mainstay.yaml", rows[i].yaml, strlen(rows[i].yaml), 0644), 0);
		assert_int_equal(unit_listen_generate(dir, &paths), 0);
		r = fs_read(out, "mainstay-collectd.service.d/listen.conf", 4096, &got);
		if (!rows[i].text ? r == 0 : r != 0 || strcmp(buf_text(&got), rows[i].text) != 0)
			fail_msg("%s: %d %s", rows[i].yaml ?: "no file", r, buf_text(&got));
		scratch_remove(&s);
	}
}

static void
a_folder_that_is_not_there_is_a_fault(void **state)
{
	struct scratch s;
	struct paths paths;
	int etc;

	(void)state;
	scratch_make(&s);
	assert_int_equal(chmod(s.path, 0755), 0);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_int_equal(fs_open_dir(&etc, AT_FDCWD, paths.etc, 0755), 0);
	assert_int_equal(fs_replace(etc, "mainstay.yaml", "telemetry:\n  listen: 9190\n", 26, 0644), 0);
	assert_true(unit_listen_generate("/nowhere", &paths) < 0);
	(void)close(etc);
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_unit_is_given),
		cmocka_unit_test(a_folder_that_is_not_there_is_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
