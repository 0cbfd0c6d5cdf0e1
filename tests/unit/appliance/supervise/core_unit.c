/* mainstay-core.service: which core it points to, and how it ends one that did not prove itself. */
#include "appliance/supervise/core_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/identity.h"
#include "appliance/supervise/slots.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

enum { TRIAL_MS = 60, LONG_MS = 2000, SOAK_MS = 10 };

/* --- in place of the libraries' ------------------------------------------------------------------- */
static const char *const names[] = { "mainstay-courier", "mainstay-collect", "mainstay-judge", "mainstay-notify" };
static const char *const groups[] = { "mainstay-read", "mainstay-shims" };
static size_t next_user, next_group, n_names = 4;

/* The package that we are of is a scratch folder's. */
static char exe[512];

ssize_t
readlink(const char *path, char *out, size_t size)
{
	if (strcmp(path, "/proc/self/exe") != 0)
		return syscall(SYS_readlinkat, AT_FDCWD, path, out, size);
	return snprintf(out, size, "%s", exe);
}

/* Nothing was read from it yet. */
static bool
is_new(FILE *f)
{
	bool first = ftell(f) == 0;

	(void)fgetc(f);
	return first;
}

struct passwd *
fgetpwent(FILE *f)
{
	static struct passwd p;

	if (is_new(f))
		next_user = 0;
	if (next_user == n_names)
		return NULL;
	p = (struct passwd){ .pw_name = (char *)(uintptr_t)names[next_user],
		.pw_uid = 991 + (uid_t)next_user,
		.pw_gid = 991 + (gid_t)next_user };
	next_user++;
	return &p;
}

struct group *
fgetgrent(FILE *f)
{
	static struct group g;

	if (is_new(f))
		next_group = 0;
	if (next_group == 2)
		return NULL;
	g = (struct group){ .gr_name = (char *)(uintptr_t)groups[next_group], .gr_gid = 995 + (gid_t)next_group };
	next_group++;
	return &g;
}

/* PID 1: what it was asked, a line each; silent: nobody answers there; picky: it never heard of a unit that failed. */
static char asked[512];
static bool is_silent, is_picky;
static struct paths *proof; /* where to mark the core good as soon as its trial has begun */

int
sd_bus_new(sd_bus **ret)
{
	*ret = (sd_bus *)asked;
	return 0;
}

int
sd_bus_set_address(sd_bus *bus, const char *address)
{
	(void)bus;
	assert_string_equal(address, "unix:path=/run/systemd/private");
	return 0;
}

int
sd_bus_start(sd_bus *bus)
{
	(void)bus;
	return is_silent ? -ECONNREFUSED : 0;
}

sd_bus *
sd_bus_flush_close_unref(sd_bus *bus)
{
	(void)bus;
	return NULL;
}

int
sd_bus_call_method(sd_bus *bus, const char *destination, const char *path, const char *interface, const char *member,
	sd_bus_error *error, sd_bus_message **reply, const char *types, ...)
{
	size_t n = strlen(asked);
	const char *unit;
	va_list ap;

	(void)bus;
	(void)destination;
	(void)path;
	(void)interface;
	(void)error;
	(void)reply;
	va_start(ap, types);
	unit = va_arg(ap, const char *);
	if (strcmp(types, "ss") == 0)
		assert_string_equal(va_arg(ap, const char *), "replace");
	va_end(ap);
	(void)snprintf(asked + n, sizeof(asked) - n, "%s %s\n", member, unit);
	return is_picky && strcmp(member, "RestartUnit") != 0 ? -ENOENT : 0;
}

static bool
is_good(struct slots *s, void *arg)
{
	struct slots_now now;

	(void)arg;
	assert_int_equal(slots_now(&now), 0);
	return slots_good(s, SLOTS_A, SLOTS_STATE_FORMAT, &now);
}

/* Told while it is on trial. */
int
sd_notify(int unset, const char *text)
{
	(void)unset;
	(void)text;
	if (proof)
		assert_int_equal(slots_update(NULL, proof, is_good, NULL), 0);
	return 1;
}

/* --- a site --------------------------------------------------------------------------------------------------- */
static const struct slots_tree tree = { .present = true, .digest = { 0xab }, .counter = 1, .version = "9.9" };

struct site {
	struct scratch s;
	struct paths paths;
	char packaged[256], slot[sizeof(((struct paths *)0)->lib) + 128]; /* folders of the two cores */
};

static int
setup(void **state)
{
	struct site *t = calloc(1, sizeof(*t));
	char hex[SHA256_TEXT_MAX];
	int fd;

	scratch_make(&t->s);
	(void)snprintf(t->packaged, sizeof(t->packaged), "%s/usr/lib/mainstay", t->s.path);
	(void)snprintf(exe, sizeof(exe), "%s/mainstay-supervise", t->packaged);
	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, t->packaged, 0755), 0);
	assert_int_equal(fs_replace(fd, "mainstayd", "#!/bin/false\n", 13, 0755), 0);
	(void)close(fd);
	assert_int_equal(fs_paths(&t->paths, t->s.path), 0);
	(void)snprintf(t->slot, sizeof(t->slot), "%s/store/%s/bin", t->paths.lib, sha256_text(hex, tree.digest) + strlen("sha256:"));
	assert_int_equal(setenv("NOTIFY_SOCKET", "/nowhere", 1), 0);
	asked[0] = '\0';
	is_silent = is_picky = false;
	proof = NULL;
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct site *t = *state;

	scratch_remove(&t->s);
	free(t);
	return 0;
}

static bool
begin(struct slots *s, void *arg)
{
	return slots_begin(s, SLOTS_A, &tree, 1, *(const uint32_t *)arg, SOAK_MS) == 0;
}

static void
on_trial(struct site *t, bool has_programs, uint32_t trial_ms)
{
	int fd;

	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, t->slot, 0755), 0);
	if (has_programs)
		assert_int_equal(fs_replace(fd, "mainstayd", "#!/bin/false\n", 13, 0755), 0);
	(void)close(fd);
	assert_int_equal(slots_update(NULL, &t->paths, begin, &trial_ms), 0);
}

static struct slots
now(struct site *t)
{
	SCOPED(scope_close) int core = -1;
	struct slots s;

	assert_int_equal(slots_open(&core, &t->paths), 0);
	assert_int_equal(slots_load(&s, core), 0);
	return s;
}

static void
points_to(const struct site *t, const char *folder)
{
	char path[sizeof(t->paths.run) + 8], to[512] = "";

	(void)snprintf(path, sizeof(path), "%s/core", t->paths.run);
	assert_true(readlink(path, to, sizeof(to) - 1) > 0);
	assert_string_equal(to, folder);
}

/* --- tests ------------------------------------------------------------------------------------------------------ */
static void
without_a_trial_it_points_to_the_package_and_ends(void **state)
{
	struct site *t = *state;
	struct identity id;

	assert_int_equal(core_unit_run(&t->paths), 0);
	points_to(t, t->packaged);
	assert_int_equal(identity_load(&id, &t->paths), 0);
	assert_string_equal(asked, "");
	assert_int_equal(core_unit_run(&t->paths), 0); /* as at the next start of the unit */
	points_to(t, t->packaged);
}

/* A daemon that PID 1 has given up would not come back with a restart of this unit alone. */
static void
a_core_that_does_not_prove_itself_is_ended_and_all_daemons_are_asked_for(void **state)
{
	struct site *t = *state;
	struct slots s;

	on_trial(t, true, TRIAL_MS);
	assert_int_equal(core_unit_run(&t->paths), 0);
	points_to(t, t->slot);
	assert_string_equal(asked, "ResetFailedUnit mainstayd.service\n"
				   "ResetFailedUnit mainstay-collectd.service\n"
				   "ResetFailedUnit mainstay-courier.service\n"
				   "RestartUnit mainstay-core.service\n"
				   "StartUnit mainstayd.service\n"
				   "StartUnit mainstay-collectd.service\n"
				   "StartUnit mainstay-courier.service\n");
	/* PID 1 starts this unit again: it has had its only try. */
	assert_int_equal(core_unit_run(&t->paths), 0);
	points_to(t, t->packaged);
	s = now(t);
	assert_int_equal(s.trial, SLOTS_NONE);
	assert_int_equal(s.failed, SLOTS_A);
	assert_int_equal(s.why, SLOTS_WHY_SILENT);
}

static void
daemons_that_never_failed_are_none_to_forgive(void **state)
{
	struct site *t = *state;

	is_picky = true;
	on_trial(t, true, TRIAL_MS);
	assert_int_equal(core_unit_run(&t->paths), 0);
	assert_non_null(strstr(asked, "RestartUnit mainstay-core.service\n"));
}

/* The unit fails then, and PID 1 starts it again by itself: Restart=on-failure. */
static void
where_pid_1_does_not_answer_the_unit_fails(void **state)
{
	struct site *t = *state;

	is_silent = true;
	on_trial(t, true, TRIAL_MS);
	assert_int_not_equal(core_unit_run(&t->paths), 0);
	assert_string_equal(asked, "");
	assert_int_equal(now(t).why, SLOTS_WHY_SILENT);
}

static void
a_core_that_proved_itself_goes_on(void **state)
{
	struct site *t = *state;
	struct slots s;

	on_trial(t, true, LONG_MS);
	proof = &t->paths;
	assert_int_equal(core_unit_run(&t->paths), 0);
	points_to(t, t->slot);
	assert_string_equal(asked, "");
	s = now(t);
	assert_int_equal(s.active, SLOTS_A);
	assert_int_equal(s.failed, SLOTS_NONE);
}

static void
a_core_that_is_not_there_is_not_waited_for(void **state)
{
	struct site *t = *state;

	on_trial(t, false, TRIAL_MS);
	assert_int_equal(core_unit_run(&t->paths), 0);
	points_to(t, t->packaged);
	assert_string_equal(asked, "");
	assert_int_equal(now(t).why, SLOTS_WHY_UNSTARTED);
}

static void
without_its_users_nothing_is_begun(void **state)
{
	struct site *t = *state;
	char path[sizeof(t->paths.run) + 8];

	n_names = 3;
	assert_refused(core_unit_run(&t->paths), REASON_NOT_FOUND, "is no user of this host");
	n_names = 4;
	(void)snprintf(path, sizeof(path), "%s/core", t->paths.run);
	assert_int_equal(access(path, F_OK), -1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_a_trial_it_points_to_the_package_and_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_core_that_does_not_prove_itself_is_ended_and_all_daemons_are_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(daemons_that_never_failed_are_none_to_forgive, setup, teardown),
		cmocka_unit_test_setup_teardown(where_pid_1_does_not_answer_the_unit_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(a_core_that_proved_itself_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_core_that_is_not_there_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(without_its_users_nothing_is_begun, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
