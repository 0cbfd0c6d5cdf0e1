#include "appliance/supervise/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/identity.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/layout.h"
#include "appliance/supervise/run_lock.h"
#include "appliance/supervise/run_room.h"

/* --- signals ---------------------------------------------------------------------------------- */
static void
end_all(struct run *run, bool services_too)
{
	run->ending = true;
	loop_cancel(run->trial);
	run->services_too = run->services_too || services_too;
	loop_cancel(run->retry);
	if (run->supervise.pid > 0)
		(void)child_signal(run->supervise.pidfd, run->services_too ? SIGUSR1 : SIGTERM);
	else
		run_supervise_finish(run);
}

static void
on_stop(void *arg)
{
	end_all(arg, false);
}

static int
on_down(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	(void)src;
	(void)si;
	end_all(arg, true);
	return 0;
}

/* As subreaper we become the parent of whatever a dead supervisor leaves: collect those, and only
 * those. */
static int
on_child(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	struct run *run = arg;

	(void)src;
	(void)si;
	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 ||
			info.si_pid == run->supervise.pid)
			return 0;
		(void)waitpid(info.si_pid, NULL, WNOHANG);
	}
}

static int
open_loop(struct run *run)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return FAULT(-errno);
	r = loop_new(&run->loop, on_stop, run);
	r = r ?: sd_event_add_signal(run->loop, NULL, SIGUSR1, on_down, run);
	r = r < 0 ? r : sd_event_add_signal(run->loop, NULL, SIGCHLD, on_child, run);
	return r < 0 ? FAULT(r) : 0;
}

/* --- the command ------------------------------------------------------------------------------ */
/* A supervisor whose run was killed goes on by itself: it makes room, and the new one finds all it
 * held. */
static int
replace_stale_supervise(const struct paths *paths)
{
	SCOPED(scope_free) struct roster *roster = malloc(sizeof(*roster));
	const struct roster_entry *e;
	struct child child;
	int r;

	if (!roster)
		return FAULT(-ENOMEM);
	r = roster_load(roster, paths);
	e = r ? NULL : roster_find(roster, ROSTER_SUPERVISE, NULL);
	if (!e || child_adopt(&child, e->pid, e->start_time))
		return r < 0 ? FAULT(r)
			     : 0; /* a roster that cannot be read is the supervisor's to speak of */
	r = child_signal(child.pidfd, SIGKILL);
	if (r == 0)
		(void)poll(&(struct pollfd){ .fd = child.pidfd, .events = POLLIN }, 1, 5000);
	(void)close(child.pidfd);
	return FAULT(r);
}

static int
prepare(struct run *run)
{
	const struct paths original = run->paths;
	SCOPED(scope_close) int run_fd = -1;
	char second[sizeof(run->state)] = "";
	struct identity id;
	bool separate = geteuid() == 0;
	int r;

	if (run->call->state)
		(void)snprintf(run->state, sizeof(run->state), "%.*s",
			(int)(strlen(original.lib) - 4), original.lib);
	if (separate)
		separate = layout_reach(&run->paths, second, sizeof(second)) == 0;
	if (*second)
		(void)snprintf(run->state, sizeof(run->state), "%s", second);
	identity_plan(&id, original.lib, separate);
	r = layout_new_boot(&run->paths);
	r = r ?: layout_make(&run->paths, &id);
	r = r ?: fs_open_dir(&run_fd, AT_FDCWD, run->paths.run, 0755);
	r = r ?: identity_save(&id, run_fd);
	r = r ?: replace_stale_supervise(&run->paths);
	return FAULT(r);
}

static int
ready_fd(const struct command_call *call, int *ret)
{
	const char *text = command_option(call, "ready-fd");
	uint64_t fd;

	*ret = -1;
	if (!text)
		return 0;
	if (number_u64(&fd, text, INT32_MAX) || fcntl((int)fd, F_GETFD) < 0)
		return REFUSE(REASON_USAGE, "--ready-fd", "'%s' is no open descriptor", text);
	*ret = (int)fd;
	(void)fcntl(*ret, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int
run_up(struct command_call *call)
{
	struct run run = { .call = call,
		.paths = call->paths,
		.ready_fd = -1,
		.ready_out = -1,
		.supervise = { .pidfd = -1 } };
	SCOPED(scope_close) int lock_fd = -1;
	int r;

	r = ready_fd(call, &run.ready_out);
	r = r ?: layout_roots(&run.paths);
	r = r ?: run_lock_open(&lock_fd, &run.paths);
	if (r)
		return r < 0 ? FAULT(r) : r;
	r = run_lock_take(lock_fd);
	if (r == REASON_CONFLICT)
		return REFUSE(r, call->state ?: call->paths.lib,
			"another `mainstay run` keeps this state");
	r = r ?: prepare(&run);
	r = r ?: open_loop(&run);
	if (r)
		return FAULT(r);
	run_supervise_start(&run);
	r = loop_run(run.loop);
	child_unwatch(run.watch);
	loop_unwatch(run.ready_watch);
	loop_cancel(run.retry);
	loop_cancel(run.trial);
	sd_event_unref(run.loop);
	if (run.refused)
		return run.refused;
	return r == 1 ? FAULT(-EIO) : r;
}

static int
run_keep(struct command_call *call)
{
	return command_option(call, "down") ? run_lock_down(call) : run_up(call);
}

/* This process stays as long as the appliance runs: as mainstay-supervise's program, which brings a tenth of the
 * libraries that the customer's command has for its other duties.  Returns only where that program cannot be had. */
static void
become_keeper(const struct command_call *call)
{
	const char *argv[8] = { "mainstay", "run" }, *fd_text = command_option(call, "ready-fd");
	SCOPED(scope_close) int exe = -1;
	size_t n = 2;

	if (call->json)
		argv[n++] = "--json";
	if (call->state) {
		argv[n++] = "--state";
		argv[n++] = call->state;
	}
	if (fd_text) {
		argv[n++] = "--ready-fd";
		argv[n++] = fd_text;
	}
	if (child_program(&exe, "mainstay-supervise") == 0)
		(void)fexecve(exe, (char *const *)(uintptr_t)argv, environ);
	log_debug("mainstay-supervise cannot be executed here: %m");
}

static int
run_run(struct command_call *call)
{
	if (!command_option(call, "down"))
		become_keeper(call);
	return run_keep(call);
}

static const struct command_option options[] = {
	{ .name = "ready-fd",
		.value = "N",
		.help = "write READY to this descriptor when all daemons are ready" },
	{ .name = "down", .help = "end the daemons and stop the services, too" },
	{ 0 },
};

#define RUN_TOLD \
	.name = "run", .summary = "run the appliance in the foreground, where there is no systemd", \
	.details = "Makes the folders of state, starts the daemons and keeps them running " \
		   "until SIGTERM. Services\n" \
		   "go on running then; a later run finds them. --down stops them as well.", \
	.examples = "mainstay run --state ~/appliance\nmainstay run --down --state " \
		    "~/appliance\n", \
	.options = options

const struct command run_commands[] = { { RUN_TOLD, .run = run_run }, { 0 } };
const struct command run_keep_commands[] = { { RUN_TOLD, .run = run_keep }, { 0 } };
