/* What only systems with systemd have: users by name, roles by unit, the unit's own control group, the door. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "appliance/service/identity.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn.h"
#include "appliance/supervise/door.h"
#include "appliance/supervise/enforced.h"
#include "appliance/supervise/supervise_wire.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

/* --- in place of the library's ------------------------------------------------------------------ */
static struct passwd users[] = {
	{ .pw_name = (char *)"root", .pw_uid = 0, .pw_gid = 0 },
	{ .pw_name = (char *)"mainstay-courier", .pw_uid = 991, .pw_gid = 991 },
	{ .pw_name = (char *)"mainstay-collect", .pw_uid = 992, .pw_gid = 992 },
	{ .pw_name = (char *)"mainstay-judge", .pw_uid = 993, .pw_gid = 993 },
	{ .pw_name = (char *)"mainstay-notify", .pw_uid = 994, .pw_gid = 994 },
};
static struct group groups[] = {
	{ .gr_name = (char *)"mainstay-read", .gr_gid = 995 },
	{ .gr_name = (char *)"mainstay-shims", .gr_gid = 996 },
};
static size_t next_user, next_group, n_groups = 2;
static const char *unit_of_all; /* NULL: systemd does not run */

struct passwd *
fgetpwent(FILE *f)
{
	(void)f;
	if (next_user == sizeof(users) / sizeof(users[0])) {
		next_user = 0;
		return NULL;
	}
	return &users[next_user++];
}

struct group *
fgetgrent(FILE *f)
{
	(void)f;
	if (next_group >= n_groups) {
		next_group = 0;
		return NULL;
	}
	return &groups[next_group++];
}

int
sd_booted(void)
{
	return unit_of_all != NULL;
}

int
sd_pid_get_unit(pid_t pid, char **ret)
{
	(void)pid;
	*ret = strdup(unit_of_all);
	return *ret ? 0 : -ENOMEM;
}

static int
plan(struct identity *ret)
{
	next_user = next_group = 0;
	return identity_plan_units(ret, "/var/lib/mainstay");
}

/* --- who is who ----------------------------------------------------------------------------------- */
static void
users_have_names_and_services_numbers(void **state)
{
	struct identity id, back;
	struct paths paths;
	struct scratch s;
	int run;
	uid_t uid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(plan(&id), 0);
	assert_int_equal(id.uid[IDENTITY_COURIER], 991);
	assert_int_equal(id.uid[IDENTITY_NOTIFY], 994);
	assert_int_equal(id.uid[IDENTITY_MONITOR], 0);
	assert_int_equal(id.readers, 995);
	assert_int_equal(id.shims, 996);
	assert_true(id.services >= 131072);
	scratch_make(&s);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	assert_int_equal(identity_save(&id, run), 0);
	assert_int_equal(identity_load(&back, &paths), 0);
	assert_int_equal(back.services, id.services);
	assert_int_equal(identity_service(&back, &paths, "redis", &uid), 0);
	assert_int_equal(uid, id.services);
	close(run);
	scratch_remove(&s);
}

static void
users_that_are_not_there(void **state)
{
	struct identity id = { .readers = 77 };

	(void)state;
	users[3].pw_name = (char *)"mainstay-jury";
	assert_refused(plan(&id), REASON_NOT_FOUND, "is no user of this host");
	users[3].pw_name = (char *)"mainstay-judge";
	users[3].pw_gid = 100;
	assert_refused(plan(&id), REASON_CONFLICT, "groupmod -g 993 mainstay-judge");
	users[3].pw_gid = 993;
	n_groups = 1;
	assert_refused(plan(&id), REASON_NOT_FOUND, "is no group of this host");
	n_groups = 2;
	assert_int_equal(id.readers, 77);
}

static void
a_role_is_its_units(void **state)
{
	struct paths paths;
	struct scratch s;

	(void)state;
	scratch_make(&s);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_false(roster_holds(&paths, ROSTER_COURIER, getpid()));
	unit_of_all = "mainstay-courier.service";
	assert_true(roster_holds(&paths, ROSTER_COURIER, getpid()));
	assert_false(roster_holds(&paths, ROSTER_COLLECTD, getpid()));
	assert_false(roster_holds(&paths, ROSTER_JUDGE, getpid()));
	assert_false(roster_holds(&paths, ROSTER_COURIER, 0));
	unit_of_all = NULL;
	scratch_remove(&s);
}

/* --- control groups -------------------------------------------------------------------------------- */
static void
controllers_are_found_in_both_versions(void **state)
{
	struct scratch s;
	char path[300];
	int dir;

	(void)state;
	scratch_make(&s);
	assert_false(enforced_units_limit("/nowhere"));
	assert_false(enforced_units_limit(s.path));
	assert_int_equal(fs_open_dir(&dir, AT_FDCWD, s.path, 0755), 0);
	assert_int_equal(fs_replace(dir, "cgroup.controllers", "hugetlb\n", 8, 0644), 0);
	assert_false(enforced_units_limit(s.path));
	assert_int_equal(fs_replace(dir, "cgroup.controllers", "cpu memory pids\n", 16, 0644), 0);
	assert_true(enforced_units_limit(s.path));
	assert_int_equal(unlinkat(dir, "cgroup.controllers", 0), 0);
	for (int i = 0; i < 2; i++) {
		int one;

		(void)snprintf(path, sizeof(path), "%s/%s", s.path, i ? "pids" : "memory");
		assert_false(enforced_units_limit(s.path));
		assert_int_equal(fs_open_dir(&one, AT_FDCWD, path, 0755), 0);
		assert_int_equal(fs_replace(one, "tasks", "", 0, 0644), 0);
		close(one);
	}
	assert_true(enforced_units_limit(s.path));
	close(dir);
	scratch_remove(&s);
}

/* --- the door -------------------------------------------------------------------------------------- */
static pid_t
start_door(const struct paths *paths, int listen_fd)
{
	char pid_text[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (listen_fd >= 0) {
		(void)dup2(listen_fd, SD_LISTEN_FDS_START);
		(void)snprintf(pid_text, sizeof(pid_text), "%ld", (long)getpid());
		(void)setenv("LISTEN_PID", pid_text, 1);
		(void)setenv("LISTEN_FDS", "1", 1);
	}
	_exit(refuse_exit_code(door_serve(paths)));
}

static void
on_done(int r, pid_t pid, void *arg)
{
	(void)pid;
	*(int *)arg = r;
}

static int
dial(const struct paths *paths, const char *address)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct spawner *spawner;
	int pair[2], result = -12345;

	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(spawn_supervise_new(&spawner, loop, paths), 0);
	assert_int_equal(frame_pair(pair), 0);
	assert_int_equal(spawn_dial(spawner, address, 1, pair[0], on_done, &result), 0);
	for (int i = 0; i < 150 && result == -12345; i++)
		(void)sd_event_run(loop, 20000);
	close(pair[1]);
	spawn_free(spawner);
	return result;
}

static void
the_door_opens_to_the_monitor_alone(void **state)
{
	struct roster *roster = calloc(1, sizeof(*roster));
	struct paths paths;
	struct scratch s;
	char path[300];
	int run, fd, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		free(roster);
		skip();
	}
	scratch_make(&s);
	assert_int_equal(fs_paths(&paths, s.path), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/supervise.sock", paths.run);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	pid = start_door(&paths, fd);
	assert_int_equal(dial(&paths, ""), REASON_UNREACHABLE); /* nobody's monitor */
	roster->n = 1;
	roster->entries[0] = (struct roster_entry){ .role = ROSTER_MONITOR, .pid = getpid() };
	assert_int_equal(child_starttime(&roster->entries[0].start_time, getpid()), 0);
	assert_int_equal(roster_save(roster, run), 0);
	assert_int_equal(dial(&paths, ""), 0);
	assert_int_equal(dial(&paths, "nowhere"), REASON_MALFORMED);
	assert_int_equal(dial(&paths, "127.0.0.1"), 0);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(fd);
	close(run);
	free(roster);
	scratch_remove(&s);
}

static void
a_door_without_a_socket(void **state)
{
	struct paths paths = { "/x/etc", "/x/lib", "/x/run" };

	(void)state;
	assert_refused(door_serve(&paths), REASON_USAGE, "is started by systemd");
}

/* --- a job on stdin -------------------------------------------------------------------------------- */
static void
a_job_comes_on_3_or_on_stdin(void **state)
{
	int pair[2], status;
	struct stat st;
	pid_t pid;

	(void)state;
	assert_int_equal(frame_pair(pair), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		(void)dup2(pair[1], STDIN_FILENO);
		for (fd = 3; fd < 64; fd++)
			(void)close(fd);
		if (program_job() != 3 || sd_is_socket(3, AF_UNIX, SOCK_SEQPACKET, -1) <= 0)
			_exit(1);
		_exit(fstat(STDIN_FILENO, &st) == 0 && S_ISCHR(st.st_mode) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(program_job(), 3); /* whatever that is: a supervisor's child has its job there */
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_have_names_and_services_numbers),
		cmocka_unit_test(users_that_are_not_there),
		cmocka_unit_test(a_role_is_its_units),
		cmocka_unit_test(controllers_are_found_in_both_versions),
		cmocka_unit_test(a_door_without_a_socket),
		cmocka_unit_test(the_door_opens_to_the_monitor_alone),
		cmocka_unit_test(a_job_comes_on_3_or_on_stdin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
