#include "appliance/supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/supervise/held.h"
#include "appliance/supervise/requests.h"
#include "appliance/supervise/roles.h"
#include "appliance/supervise/start.h"
#include "appliance/supervise/supervise_wire.h"

enum {
	BACKOFF_US = 100 * 1000,
	BACKOFF_CAP_US = 10 * 1000 * 1000,
	STEADY_US = 30 * 1000 * 1000, /* a process that lived so long begins its backoff anew */
	TRIAL_GRACE_MS = 1000,	      /* `mainstay run` goes first */
	SELF_CGROUP_MAX = 4096,
	SHIM_FINAL_MAX = 3, /* exit statuses of a shim that has nothing left to do */
};

static void on_ended(pid_t pid, int status, void *arg);

void
supervise_save(struct supervise *s)
{
	int r;

	held_roster(s->held, &s->roster);
	r = roster_save(&s->roster, s->run_fd);
	if (r)
		log_fault(r, "writing the roster");
}

/* --- readiness -------------------------------------------------------------------------------- */
static void
say_ready(struct supervise *s)
{
	const enum roster_role daemons[] = { ROSTER_MONITOR, ROSTER_COLLECTD, ROSTER_COURIER };

	for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
		const struct held *h = held_find(s->held, daemons[i], NULL);

		if (!h || !h->ready)
			return;
	}
	if (s->ready_out >= 0) {
		(void)fs_write_all(s->ready_out, "\n", 1); /* whoever waited may be gone */
		(void)close(s->ready_out);
	}
	s->ready_out = -1;
}

static void
on_ready(uint32_t revents, void *arg)
{
	struct held *h = arg;
	char c;
	ssize_t n = read(h->ready_fd, &c, 1);

	(void)revents;
	loop_unwatch(h->ready_watch);
	(void)close(h->ready_fd);
	h->ready_fd = -1;
	if (n != 1 || c != '\n')
		return; /* it is about to end, which will be seen */
	h->ready = true;
	supervise_save(h->owner);
	say_ready(h->owner);
}

/* --- starting --------------------------------------------------------------------------------- */
static void start_daemon(struct held *h);
static void start_shim_again(struct held *h);

static void
on_retry(void *arg)
{
	struct held *h = arg;

	if (h->owner->ending)
		return;
	if (held_is_daemon(h))
		start_daemon(h);
	else
		start_shim_again(h);
	supervise_save(h->owner);
	say_ready(h->owner);
}

static void
retry_later(struct held *h)
{
	uint64_t us = clock_backoff_us(h->tries++, BACKOFF_US, BACKOFF_CAP_US);
	int r = loop_after(&h->retry, h->owner->loop, us / CLOCK_US_PER_MS, on_retry, h);

	if (r)
		log_fault(r, "planning a restart");
}

int
supervise_watch(struct held *h)
{
	h->started_us = clock_mono_us();
	return child_watch(&h->watch, h->owner->loop, &h->child, on_ended, h);
}

static void
start_daemon(struct held *h)
{
	struct supervise *s = h->owner;
	int r;

	r = start_process(s, h, -1, false);
	r = r ?: supervise_watch(h);
	r = r ?: loop_watch(&h->ready_watch, s->loop, h->ready_fd, EPOLLIN, on_ready, h);
	if (r == 0)
		return;
	if (r < 0)
		log_fault(r, roster_role_name(h->role));
	held_down(h);
	retry_later(h);
}

static void
start_shim_again(struct held *h)
{
	int r;

	r = start_shim(h->owner, h, true);
	r = r ?: supervise_watch(h);
	if (r == 0)
		return;
	if (r < 0)
		log_fault(r, "starting a shim again");
	held_down(h);
	retry_later(h);
}

/* --- ends ------------------------------------------------------------------------------------- */
/* A shim that ended by itself has nothing left to do; one that was killed, or had a fault, has.  Of
 * a shim that was not our child nobody knows the status: started again it finds out itself. */
static bool
is_final(int status)
{
	return status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) <= SHIM_FINAL_MAX;
}

/* A shim that has ended for good, and has left the roster: were its spec gone before that and we were killed between, the
 * next of us would find it there, and nothing to start it from. */
static void
forget_shim(struct supervise *s, const char *id, int status)
{
	start_forget_spec(s, id);
	/* What a shim that refused has found there runs on. */
	if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 0)
		group_remove(&s->groups, id);
}

static bool
is_operation(const char *group, void *arg)
{
	const struct supervise *s = arg;

	return held_find(s->held, ROSTER_OPERATE, group + strlen(START_OPERATION_GROUP));
}

/* Groups of operations that nobody holds: of what we never knew, and what was still ending when its group should have gone. */
static void
sweep_operations(struct supervise *s)
{
	group_sweep(&s->groups, START_OPERATION_GROUP, is_operation, s);
}

static void
on_ended(pid_t pid, int status, void *arg)
{
	struct held *h = arg;
	struct supervise *s = h->owner;
	bool again =
		!s->ending && (held_is_daemon(h) || (h->role == ROSTER_SHIM && !is_final(status)));
	enum roster_role role = h->role;
	bool shim_gone = !again && role == ROSTER_SHIM && (!s->ending || s->services_too);
	bool told = !again && (held_is_worker(h) || role == ROSTER_SHIM);
	char text[64], group[ROSTER_ID_MAX + 8], id[ROSTER_ID_MAX + 1];

	(void)snprintf(id, sizeof(id), "%s", h->id);
	log_info("%s%s%s (pid %ld): %s%s", roster_role_name(h->role), *h->id ? " " : "", h->id,
		(long)pid, child_describe(text, sizeof(text), status),
		again ? ", starting it again" : "");
	if (clock_mono_us() - h->started_us > STEADY_US)
		h->tries = 0;
	held_down(h);
	if (again) {
		h->restarts++;
		retry_later(h);
	} else {
		if (h->grouped)
			group_remove(&s->groups, start_operation_group(group, h->id));
		held_free(&s->held, h);
		sweep_operations(s);
	}
	supervise_save(s);
	if (shim_gone)
		forget_shim(s, id, status);
	if (told) /* whoever hears it finds the roster without it */
		requests_exited(s, role, id, pid, status);
	supervise_over(s);
}

static void
on_stop(void *arg)
{
	supervise_end(arg, false);
}

static int
on_down(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	(void)src;
	(void)si;
	supervise_end(arg, true);
	return 0;
}

/* --- the beginning ---------------------------------------------------------------------------- */
/* Take up what stands in the old roster and still lives. */
static int
adopt(struct supervise *s, const struct roster_entry *e)
{
	char group[ROSTER_ID_MAX + 8];
	struct child child;
	struct held *h;
	int r;

	if (e->role == ROSTER_RUN || e->role == ROSTER_SUPERVISE)
		return 0;
	r = e->pid > 0 ? child_adopt(&child, e->pid, e->start_time) : REASON_NOT_FOUND;
	if (r < 0)
		return FAULT(r);
	/* What it had started may live on for a moment, or for longer: as at any worker's end. */
	if (r > 0 && e->role == ROSTER_OPERATE)
		group_remove(&s->groups, start_operation_group(group, e->id));
	if (r > 0 && e->role != ROSTER_SHIM &&
		(e->role < ROSTER_MONITOR || e->role > ROSTER_COURIER))
		return 0; /* a worker that ended: whoever asked for it has seen its socket close */
	h = held_new(&s->held, s, e->role, e->id);
	if (!h)
		return FAULT(-ENOMEM);
	h->restarts = e->restarts + (r > 0);
	if (r > 0)
		return 0; /* started again below */
	h->child = child;
	h->ready = e->ready;
	h->grouped = h->role == ROSTER_OPERATE && s->groups.n > 0; /* the former one made it */
	if (h->role == ROSTER_SHIM)
		held_take_secrets(h);
	r = supervise_watch(h);
	if (r)
		return FAULT(r);
	if (held_is_daemon(h) && !h->ready)
		(void)child_signal(child.pidfd,
			SIGTERM); /* its readiness went with the old pipe: once more */
	log_info("%s%s%s: found it running as pid %ld", roster_role_name(e->role),
		*e->id ? " " : "", e->id, (long)e->pid);
	return 0;
}

static int
stand_in(struct supervise *s, enum roster_role role, pid_t pid)
{
	struct held *h = held_new(&s->held, s, role, "");

	if (!h)
		return FAULT(-ENOMEM);
	h->child.pid = pid;
	h->ready = true;
	return child_starttime(&h->child.starttime, pid) ? FAULT(-ESRCH) : 0;
}

static int
start_all(struct supervise *s)
{
	const enum roster_role daemons[] = { ROSTER_MONITOR, ROSTER_COLLECTD, ROSTER_COURIER };
	struct held *h;

	for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
		h = held_find(s->held, daemons[i], NULL) ?: held_new(&s->held, s, daemons[i], "");
		if (!h)
			return FAULT(-ENOMEM);
		if (h->child.pid == 0)
			start_daemon(h);
	}
	for (h = s->held; h; h = h->next)
		if (h->role == ROSTER_SHIM && h->child.pid == 0)
			start_shim_again(h);
	supervise_save(s);
	return 0;
}

static int
open_loop(struct supervise *s)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return FAULT(-errno);
	r = loop_new(&s->loop, on_stop, s);
	r = r ?: sd_event_add_signal(s->loop, NULL, SIGUSR1, on_down, s);
	return r < 0 ? FAULT(r) : 0;
}

/* One folder of groups to a folder of state, whatever that is called today. */
static void
find_groups(struct supervise *s)
{
	SCOPED(buf_done) struct buf self = BUF_MAX(SELF_CGROUP_MAX);
	char state[32];
	struct stat st;

	if (stat(s->paths->lib, &st) < 0 ||
		fs_read(AT_FDCWD, "/proc/self/cgroup", SELF_CGROUP_MAX, &self))
		return;
	(void)snprintf(state, sizeof(state), "%lx-%lx", (unsigned long)st.st_dev,
		(unsigned long)st.st_ino);
	group_find(&s->groups, "/sys/fs/cgroup", buf_text(&self), state);
}

/* What it was writing when it was killed. */
static void
sweep(const struct supervise *s)
{
	SCOPED(scope_close) int fd = openat(s->run_fd, "supervise", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		(void)fs_sweep(fd, 1);
}

static int
open_supervise(struct supervise *s)
{
	int r;

	s->run_fd = open(s->paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->run_fd < 0)
		return FAULT(-errno);
	r = identity_load(&s->id, s->paths);
	r = r ?: open_loop(s);
	if (r)
		return r < 0 ? FAULT(r) : r;
	find_groups(s);
	sweep(s);
	s->walls = (struct enforced){ .separate_uids = s->id.separate,
		.netns = geteuid() == 0,
		.cgroups = s->groups.n > 0,
		.pid_namespaces = enforced_try_sandbox(&s->id) };
	/* A damaged one (it is replaced whole, so somebody else's work) must not keep us down: what it
	 * named is then held by nobody, and `run --down` still finds the services. */
	if (roster_load(&s->roster, s->paths))
		s->roster.n = 0;
	r = stand_in(s, ROSTER_SUPERVISE, getpid());
	r = r ?: stand_in(s, ROSTER_RUN, getppid());
	for (size_t i = 0; i < s->roster.n && !r; i++) {
		struct roster_entry e = s->roster.entries[i];

		r = adopt(s, &e);
	}
	if (r)
		return FAULT(r);
	sweep_operations(s);
	supervise_save(s);
	(void)prctl(PR_SET_PDEATHSIG, 0); /* whoever starts the next of us finds us there by now */
	r = requests_open(s);
	r = r ?: start_all(s);
	r = r ?: trial_watch(&s->trial, s->loop, s->paths, TRIAL_GRACE_MS, on_stop, s);
	r = r ?: enforced_save(&s->walls, s->run_fd); /* starting showed which namespaces there are */
	if (r)
		return FAULT(r);
	say_ready(s);
	return 0;
}

static void
close_supervise(struct supervise *s)
{
	requests_close(s);
	while (s->held)
		held_free(&s->held, s->held);
	group_root_remove(&s->groups);
	loop_cancel(s->end_late);
	loop_cancel(s->shims_late);
	trial_cancel(&s->trial);
	sd_event_unref(s->loop);
	if (s->run_fd >= 0)
		(void)close(s->run_fd);
	if (s->ready_out >= 0)
		(void)close(s->ready_out);
	free(s);
}

int
supervise_run(const struct paths *paths, const char *state)
{
	struct supervise *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->paths = paths;
	s->state = state;
	s->run_fd = -1;
	s->ready_out = fcntl(SUPERVISE_FD_JOB, F_GETFD) < 0 ? -1 : SUPERVISE_FD_JOB;
	if (s->ready_out >= 0)
		(void)fcntl(s->ready_out, F_SETFD, FD_CLOEXEC);
	r = open_supervise(s);
	if (r == 0)
		r = loop_run(s->loop);
	if (r == 0)
		supervise_save(s);
	close_supervise(s);
	return r;
}
