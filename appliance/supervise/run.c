#include "appliance/supervise/run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
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
#include "appliance/supervise/down.h"
#include "appliance/supervise/layout.h"
#include "appliance/supervise/pick.h"
#include "appliance/supervise/roles.h"
#include "appliance/supervise/run_lock.h"
#include "appliance/supervise/supervise_wire.h"

enum {
	BACKOFF_US = 100 * 1000,
	BACKOFF_CAP_US = 10 * 1000 * 1000,
	STEADY_US = 30 * 1000 * 1000,
	ROOM_US = 1000 * 1000,
	ENFORCED_MAX = 4096,
};

struct run {
	struct command_call *call;
	struct paths paths; /* as the daemons see them */
	char state[256];    /* their --state; "" for the default folders */
	sd_event *loop;
	int lock_fd;
	int ready_out; /* --ready-fd; -1 */
	bool said;     /* readiness was told */
	bool ending, services_too;
	struct child supervise;
	struct child_watch *watch;
	struct loop_timer *retry;
	struct pick pick;	  /* the core that was started last */
	struct loop_timer *trial; /* it must be good when this fires */
	int ready_fd; /* supervise's readiness pipe; -1 */
	struct loop_watch *ready_watch;
	unsigned tries;
	uint64_t started_us;
	int refused; /* why nothing could be started; 0 */
};

/* --- the supervisor --------------------------------------------------------------------------- */
static void start_supervise(struct run *run);

static void
on_retry(void *arg)
{
	start_supervise(arg);
}

static void
finish(struct run *run)
{
	unsigned n;
	int r;

	/* It may have died before its work was done. */
	r = down_all(&run->paths, run->services_too, &n);
	if (r < 0)
		log_fault(r, "ending what the supervisor left");
	(void)sd_event_exit(run->loop, r ? 1 : 0);
}

static void
on_supervise_ended(pid_t pid, int status, void *arg)
{
	struct run *run = arg;
	char text[64];
	uint64_t us, lived_us;

	loop_unwatch(run->ready_watch);
	(void)close(run->ready_fd);
	(void)close(run->supervise.pidfd);
	run->ready_fd = -1;
	run->supervise = (struct child){ .pidfd = -1 };
	if (run->ending) {
		finish(run);
		return;
	}
	loop_cancel(run->trial);
	(void)pick_ended(&run->pick, &run->paths);
	log_warning("mainstay-supervise (pid %ld): %s, starting it again", (long)pid,
		child_describe(text, sizeof(text), status));
	/* One that made room for another core, or was on trial (its tries are counted), is nothing to wait for. */
	lived_us = clock_mono_us() - run->started_us;
	if (lived_us > STEADY_US || run->pick.trial || (lived_us > ROOM_US && status == 0))
		run->tries = 0;
	us = clock_backoff_us(run->tries++, BACKOFF_US, BACKOFF_CAP_US);
	if (loop_after(&run->retry, run->loop, us / CLOCK_US_PER_MS, on_retry, run) < 0)
		(void)sd_event_exit(run->loop, 1);
}

static void
say_observed(struct run *run)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(ENFORCED_MAX);
	SCOPED(buf_done) struct buf line = BUF_MAX(ENFORCED_MAX);
	SCOPED(scope_close) int dir = -1;
	SCOPED_JSON *walls = NULL;
	const json_t *v;
	size_t i;

	dir = open(run->paths.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fs_read(dir, "supervise/enforced", ENFORCED_MAX, &text) ||
		json_read(&walls, text.data, text.len, ENFORCED_MAX, "enforced"))
		return;
	json_array_foreach(json_object_get(walls, "not_enforced"), i, v)
		buf_printf(&line, "%s%s", i ? ", " : "", json_string_value(v));
	if (run->call->json)
		(void)command_print_json("Run", STEAL(walls));
	else
		command_say(run->call,
			"mainstayd, mainstay-collectd and mainstay-courier are ready; not "
			"enforced: %s",
			line.len ? buf_text(&line) : "nothing");
	(void)fflush(stdout);
}

static void
on_ready(uint32_t revents, void *arg)
{
	struct run *run = arg;
	char c;

	(void)revents;
	if (read(run->ready_fd, &c, 1) != 1 || c != '\n') {
		loop_unwatch(run->ready_watch); /* it ends, which will be seen */
		return;
	}
	loop_unwatch(run->ready_watch);
	if (run->said)
		return;
	run->said = true;
	say_observed(run);
	if (run->ready_out >= 0) {
		(void)fs_write_all(run->ready_out, "READY\n", 6); /* whoever waited may be gone */
		(void)close(run->ready_out);
		run->ready_out = -1;
	}
}

/* Start the supervisor of the core that was picked. */
static int
spawn_picked(struct run *run)
{
	const char *args[] = { "mainstay-supervise", *run->state ? "--state" : NULL, run->state,
		NULL };
	struct child_spec spec = CHILD_SPEC;
	SCOPED(scope_close) int exe = -1;
	SCOPED(scope_close) int ready = -1;
	SCOPED(scope_close) int out = -1;
	int ends[2], r;

	r = pick_program(&exe, &run->pick, &run->paths, args[0]);
	if (r)
		return FAULT(r);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return FAULT(-errno);
	out = ends[0];
	ready = ends[1];
	roles_dress(&spec, ROSTER_SUPERVISE, &(struct identity){ 0 }, false);
	spec.exe_fd = exe;
	spec.argv = args;
	spec.fds[spec.n_fds++] = (struct child_fd){ STDERR_FILENO, STDERR_FILENO };
	spec.fds[spec.n_fds++] = (struct child_fd){ ready, SUPERVISE_FD_JOB };
	r = child_spawn(&run->supervise, &spec, NULL);
	if (r)
		return FAULT(r);
	run->ready_fd = STEAL_FD(out);
	return 0;
}

static void
on_trial_late(void *arg)
{
	struct run *run = arg;

	/* Its supervisor ends by that, which is seen as any other end. */
	if (pick_late(&run->pick, &run->paths) < 0)
		log_error("a core that did not prove itself could not be ended");
}

static int
spawn_supervise(struct run *run)
{
	int r;

	for (;;) {
		r = pick_core(&run->pick, &run->paths);
		if (r)
			return r;
		if (run->pick.clear) {
			r = down_kill(&run->paths);
			if (r)
				return FAULT(r);
		}
		r = spawn_picked(run);
		if (r == 0)
			break;
		if (!pick_unstarted(&run->pick, &run->paths))
			return FAULT(r);
	}
	if (!run->pick.trial)
		return 0;
	return FAULT(loop_after(&run->trial, run->loop, run->pick.trial_ms, on_trial_late, run));
}

static void
start_supervise(struct run *run)
{
	int r = spawn_supervise(run);

	run->started_us = clock_mono_us();
	r = r ?: child_watch(&run->watch, run->loop, &run->supervise, on_supervise_ended, run);
	r = r ?: loop_watch(&run->ready_watch, run->loop, run->ready_fd, EPOLLIN, on_ready, run);
	if (r) {
		if (r < 0)
			log_fault(r, "starting mainstay-supervise");
		else
			run->refused = r;
		(void)sd_event_exit(run->loop, 1);
	}
}

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
		finish(run);
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
	start_supervise(&run);
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
