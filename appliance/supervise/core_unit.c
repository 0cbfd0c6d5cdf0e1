#include "appliance/supervise/core_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "appliance/service/identity.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn_systemd.h"
#include "appliance/supervise/enforced.h"
#include "appliance/supervise/layout.h"
#include "appliance/supervise/pick.h"
#include "appliance/trust/sha256.h"

enum { FOLDER_MAX = 512 };

struct core_unit {
	const struct paths *paths;
	sd_event *loop;
	struct pick pick;
	struct loop_timer *trial;
	int run_fd;
};

/* --- which core --------------------------------------------------------------------------------- */
/* Where its programs lie: beside the running one, or in the store. */
static int
folder_of(char out[FOLDER_MAX], const struct core_unit *u)
{
	char digest[SHA256_TEXT_MAX], *slash;
	ssize_t n;

	if (u->pick.slot != SLOTS_PACKAGED) {
		(void)snprintf(out, FOLDER_MAX, "%s/store/%s/bin", u->paths->lib,
			sha256_text(digest, u->pick.digest) + strlen("sha256:"));
		return 0;
	}
	n = readlink("/proc/self/exe", out, FOLDER_MAX - 1);
	if (n < 0)
		return FAULT(-errno);
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
	return 0;
}

static int
point(const struct core_unit *u)
{
	char folder[FOLDER_MAX];
	int r = folder_of(folder, u);

	if (r)
		return r;
	(void)unlinkat(u->run_fd, "core.new", 0);
	if (symlinkat(folder, u->run_fd, "core.new") < 0 || renameat(u->run_fd, "core.new", u->run_fd, "core") < 0)
		return FAULT(-errno);
	log_info("the core in %s runs", folder);
	return 0;
}

static int
pick(struct core_unit *u)
{
	for (;;) {
		SCOPED(scope_close) int exe = -1;
		int r = pick_core(&u->pick, u->paths);

		if (r)
			return r;
		r = pick_program(&exe, &u->pick, u->paths, "mainstayd");
		if (r == 0)
			return point(u);
		if (!pick_unstarted(&u->pick, u->paths))
			return FAULT(r);
	}
}

/* --- a trial ------------------------------------------------------------------------------------ */
static int
call_pid1(sd_bus *bus, const char *method, const char *unit, bool with_mode)
{
	const char *at = "org.freedesktop.systemd1", *path = "/org/freedesktop/systemd1", *of = "org.freedesktop.systemd1.Manager";

	return with_mode ? sd_bus_call_method(bus, at, path, of, method, NULL, NULL, "ss", unit, "replace")
			 : sd_bus_call_method(bus, at, path, of, method, NULL, NULL, "s", unit);
}

/* PID 1 ends the daemons and us, and starts us again, who pick the core that was before.  A daemon that crashed until PID 1 gave
 * it up is not ended and started with the others: it is forgiven, and started by itself. */
static int
restart(void)
{
	static const enum roster_role daemons[] = { ROSTER_MONITOR, ROSTER_COLLECTD, ROSTER_COURIER };
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	r = r < 0 ? r : sd_bus_set_address(bus, SPAWN_SYSTEMD_ADDRESS);
	r = r < 0 ? r : sd_bus_start(bus);
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(daemons); i++)
		(void)call_pid1(bus, "ResetFailedUnit", roster_unit(daemons[i]), false); /* one that never was is none to forgive */
	r = r < 0 ? r : call_pid1(bus, "RestartUnit", roster_unit(ROSTER_RUN), true);
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(daemons); i++)
		if (call_pid1(bus, "StartUnit", roster_unit(daemons[i]), true) < 0)
			log_warning("%s could not be asked for", roster_unit(daemons[i]));
	sd_bus_flush_close_unref(bus);
	return r < 0 ? FAULT(r) : 0;
}

static void
on_late(void *arg)
{
	struct core_unit *u = arg;
	SCOPED(scope_close) int core = -1;
	struct slots s;
	int r;

	r = slots_open(&core, u->paths);
	r = r ?: slots_load(&s, core);
	if (r == 0 && s.trial != u->pick.slot) {
		(void)sd_event_exit(u->loop, 0); /* it was good in time, or another is on trial by now */
		return;
	}
	r = r ?: pick_late(&u->pick, u->paths);
	if (r < 0)
		log_fault(r, "ending the trial");
	r = restart();
	(void)sd_event_exit(u->loop, r < 0 ? 1 : 0); /* 1: PID 1 starts us again by itself, and the daemons with us */
}

/* --- the beginning ------------------------------------------------------------------------------ */
static int
prepare(struct core_unit *u)
{
	struct identity id;
	int r;

	r = identity_plan_units(&id, u->paths->lib);
	r = r ?: layout_roots(u->paths);
	r = r ?: layout_new_boot(u->paths);
	r = r ?: layout_make(u->paths, &id);
	r = r ?: fs_open_dir(&u->run_fd, AT_FDCWD, u->paths->run, 0755);
	r = r ?: identity_save(&id, u->run_fd);
	if (r)
		return r < 0 ? FAULT(r) : r;
	/* The units have the rest; where the kernel lacks it, PID 1 does not start them. */
	return FAULT(enforced_save(&(struct enforced){ .separate_uids = id.separate,
					   .netns = access("/proc/self/ns/net", F_OK) == 0,
					   .cgroups = enforced_units_limit("/sys/fs/cgroup"),
					   .pid_namespaces = enforced_try_sandbox(&id) },
		u->run_fd));
}

int
core_unit_run(const struct paths *paths)
{
	struct core_unit u = { .paths = paths, .run_fd = -1 };
	int r;

	(void)umask(022);
	r = prepare(&u);
	r = r ?: loop_new(&u.loop, NULL, NULL);
	r = r ?: pick(&u);
	if (r == 0) {
		program_ready();
		if (u.pick.trial) {
			r = loop_after(&u.trial, u.loop, u.pick.trial_ms, on_late, &u);
			r = r ?: loop_run(u.loop);
		}
	}
	loop_cancel(u.trial);
	sd_event_unref(u.loop);
	scope_close(&u.run_fd);
	return r < 0 ? FAULT(r) : r;
}
