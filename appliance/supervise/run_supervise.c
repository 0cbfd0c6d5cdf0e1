#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/service/identity.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/down.h"
#include "appliance/supervise/roles.h"
#include "appliance/supervise/run_room.h"
#include "appliance/supervise/supervise_wire.h"

enum {
	BACKOFF_US = 100 * 1000,
	BACKOFF_CAP_US = 10 * 1000 * 1000,
	STEADY_US = 30 * 1000 * 1000,
	ROOM_US = 1000 * 1000,
	ENFORCED_MAX = 4096,
};

static void
on_retry(void *arg)
{
	run_supervise_start(arg);
}

void
run_supervise_finish(struct run *run)
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
		run_supervise_finish(run);
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
	/* Until it stands in the roster: the next `mainstay run` makes one that it finds there end, and no other. */
	spec.parent_death_signal = SIGKILL;
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

void
run_supervise_start(struct run *run)
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
