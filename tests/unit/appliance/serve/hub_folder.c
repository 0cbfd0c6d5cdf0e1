#include "appliance/serve/hub_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

enum { OWNER = 47110 };

static void
a_folder_is_named_by_option_then_environment(void **state)
{
	struct command_call call = { .state = "/one" };
	const char *dir = NULL;
	uint64_t before;

	(void)state;
	assert_int_equal(setenv("MAINSTAY_STATE", "/two", 1), 0);
	assert_int_equal(hub_folder_find(&call, &dir), 0);
	assert_string_equal(dir, "/one");
	call.state = NULL;
	assert_int_equal(hub_folder_find(&call, &dir), 0);
	assert_string_equal(dir, "/two");
	assert_int_equal(unsetenv("MAINSTAY_STATE"), 0);
	if (access(HUB_FOLDER_PACKAGED, F_OK) == 0)
		return; /* a machine with the package */
	dir = NULL;
	before = refuse_count(REASON_USAGE);
	assert_int_equal(hub_folder_find(&call, &dir), REASON_USAGE);
	assert_int_equal(refuse_count(REASON_USAGE), before + 1);
	assert_null(dir);
}

/* What root writes there is the owner's; what the caller named is root's again. */
static void
root_works_as_the_owner(void **state)
{
	const struct scratch *s = *state;
	const struct command_call call = { .state = s->path };
	const char *dir;
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchown(s->fd, OWNER, OWNER), 0);
	assert_int_equal(hub_folder_find(&call, &dir), 0);
	assert_int_equal(hub_folder_find(&call, &dir), 0);
	scratch_write(s, "theirs", "x", 1);
	assert_int_equal(fstatat(s->fd, "theirs", &st, 0), 0);
	assert_int_equal(st.st_uid, OWNER);
	assert_int_equal(st.st_gid, OWNER);
	hub_folder_leave();
	hub_folder_leave();
	scratch_write(s, "ours", "x", 1);
	assert_int_equal(fstatat(s->fd, "ours", &st, 0), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
	assert_int_equal(fchown(s->fd, 0, 0), 0);
}

static void
what_runs_on_is_the_owner_for_good(void **state)
{
	const struct scratch *s = *state;
	const struct command_call call = { .state = s->path };
	int status = -1;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchown(s->fd, OWNER, OWNER), 0);
	pid = fork();
	if (pid == 0) {
		const char *dir;
		gid_t groups[8];
		bool good = hub_folder_find(&call, &dir) == 0 && hub_folder_stay() == 0 && getuid() == OWNER &&
			getegid() == OWNER && getgroups(8, groups) == 1 && groups[0] == OWNER && setuid(0) < 0 &&
			seteuid(0) < 0;

		hub_folder_leave(); /* nobody to become */
		_exit(good && geteuid() == OWNER ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fchown(s->fd, 0, 0), 0);
	/* One's own folder changes nobody. */
	assert_int_equal(hub_folder_stay(), 0);
	assert_int_equal(geteuid(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_is_named_by_option_then_environment),
		cmocka_unit_test_setup_teardown(root_works_as_the_owner, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_runs_on_is_the_owner_for_good, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
