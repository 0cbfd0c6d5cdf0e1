#include "appliance/supervise/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/process.h"
#include "appliance/service/sandbox.h"
#include "appliance/supervise/logfile.h"
#include "appliance/supervise/probe.h"
#include "appliance/supervise/shim_core.h"
#include "appliance/supervise/supervise_wire.h"

enum {
	LOG_BYTES = 64 * 1024 * 1024,
	LOG_CHECK_MS = 5000,
	LOOK_MS = 1000,		 /* between looks at /proc for state T */
	STARTING_PROBE_MS = 200, /* between probes while it starts */
	STATUS_MS = 1000,	 /* that bubblewrap may take to tell the status of what has ended */
	INFO_MAX = 4096,
	STATE_FILE_MAX = 4096,
	CHILD_INFO_FD = 5,
	CHILD_BLOCK_FD = 6,
};

struct shim {
	sd_event *loop;
	struct spec spec;
	struct shim_core core;
	struct buf saved; /* what the file says */
	int dir_fd;	  /* run/shim */
	char boot[PROCESS_BOOT_ID_MAX];

	struct child box; /* bubblewrap; pid 0: none */
	struct child_watch *box_watch;
	bool box_ended;
	int box_status;
	struct child service; /* what runs inside, as this host numbers it; pid 0: none */
	struct child_watch *service_watch;
	bool service_ended;
	int info_fd; /* bubblewrap's words; -1 */
	struct loop_watch *info_watch;
	char info[INFO_MAX + 1];
	size_t info_len;
	int go_fd;	    /* the service begins when this is written; -1 */
	int pending_signal; /* asked for before the pid was known */
	uint64_t started_us;
	int last_exit;

	struct probe *probe;
	struct loop_timer *due, *probe_timer, *look, *log_check, *status_wait;
};

static void step(struct shim *s, enum shim_event event);

/* --- the state file --------------------------------------------------------------------------- */
static void
save(struct shim *s)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(STATE_FILE_MAX);
	char name[SPEC_NAME_MAX + 8];
	struct state now = { .is = s->core.is,
		.health = s->core.health,
		.pid = s->service.pid,
		.start_time = s->service.starttime,
		.started_us = s->started_us,
		.exit = s->last_exit,
		.restarts = s->core.restarts };
	int r;

	(void)snprintf(now.release, sizeof(now.release), "%s", s->spec.release);
	(void)snprintf(now.boot, sizeof(now.boot), "%s", s->boot);
	(void)snprintf(name, sizeof(name), "%s.json", s->spec.name);
	r = state_encode(&text, &now);
	if (r == 0 && text.len == s->saved.len && !memcmp(text.data, s->saved.data, text.len))
		return;
	r = r ?: fs_replace(s->dir_fd, name, text.data, text.len, 0644);
	if (r) {
		log_fault(r, "saving the state of the service"); /* the next change tries again */
		return;
	}
	buf_reset(&s->saved);
	buf_put(&s->saved, text.data, text.len);
}

/* --- the process ------------------------------------------------------------------------------ */
static void
forget_process(struct shim *s)
{
	loop_cancel(s->status_wait);
	loop_cancel(s->look);
	loop_unwatch(s->info_watch);
	child_unwatch(s->service_watch);
	child_unwatch(s->box_watch);
	if (s->service.pid > 0)
		(void)close(s->service.pidfd);
	if (s->box.pid > 0)
		(void)close(s->box.pidfd);
	if (s->info_fd >= 0)
		(void)close(s->info_fd);
	if (s->go_fd >= 0)
		(void)close(s->go_fd);
	s->info_fd = s->go_fd = -1;
	s->service = s->box = (struct child){ .pidfd = -1 };
	s->service_ended = s->box_ended = false;
	s->pending_signal = 0;
}

/* The service has ended, and so has bubblewrap, or it had its time. */
static void
ended(struct shim *s, int status)
{
	char text[64];

	s->last_exit = status < 0     ? -1
		: WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				      : WEXITSTATUS(status);
	log_info("service %s: %s", s->spec.name, child_describe(text, sizeof(text), status));
	if (s->probe)
		probe_cancel(s->probe);
	forget_process(s);
	step(s, SHIM_EXITED);
}

static void
on_status_missing(void *arg)
{
	struct shim *s = arg;

	ended(s, -1);
}

static void
on_service_ended(pid_t pid, int status, void *arg)
{
	struct shim *s = arg;

	(void)pid;
	(void)status; /* it is bubblewrap's child, not ours */
	s->service_ended = true;
	if (s->box_ended || s->box.pid <= 0)
		ended(s, s->box_ended ? s->box_status : -1);
	else if (loop_after(&s->status_wait, s->loop, STATUS_MS, on_status_missing, s) < 0)
		ended(s, -1);
}

static void
on_box_ended(pid_t pid, int status, void *arg)
{
	struct shim *s = arg;

	(void)pid;
	s->box_ended = true;
	s->box_status = status;
	/* Where the service lives on, somebody killed bubblewrap; its exit will be known without a
	 * status. */
	if (s->service_ended || s->service.pid <= 0)
		ended(s, status);
	else if (WIFSIGNALED(status)) {
		(void)close(s->box.pidfd);
		s->box = (struct child){ .pidfd = -1 };
		s->box_ended = false;
	}
}

static void
send_signal(struct shim *s, int sig)
{
	if (s->service.pid <= 0)
		s->pending_signal = sig;
	else
		(void)child_signal(s->service.pidfd, sig);
}

static void on_look(void *arg);

static void
look_later(struct shim *s)
{
	(void)loop_after(&s->look, s->loop, LOOK_MS, on_look, s);
}

static void
on_look(void *arg)
{
	struct shim *s = arg;
	char state = process_state(s->service.pid);

	look_later(s);
	if ((state == 'T' || state == 't') != s->core.stopped)
		step(s, s->core.stopped ? SHIM_CONTINUED : SHIM_STOPPED);
}

/* The very process is known: watch it. */
static int
take_service(struct shim *s, pid_t pid, uint64_t starttime)
{
	int r;

	r = child_adopt(&s->service, pid, starttime);
	r = r ?: child_watch(&s->service_watch, s->loop, &s->service, on_service_ended, s);
	if (r) {
		s->service = (struct child){ .pidfd = -1 };
		return r;
	}
	look_later(s);
	return 0;
}

/* bubblewrap has said which process the service is: record it, and only then let it begin. */
static void
on_info_whole(struct shim *s)
{
	pid_t pid = sandbox_child_pid(s->info);
	uint64_t starttime;

	if (pid <= 0 || child_starttime(&starttime, pid) || take_service(s, pid, starttime))
		return; /* it has ended already; bubblewrap's end tells */
	save(s);
	(void)eventfd_write(s->go_fd, 1);
	if (s->pending_signal)
		(void)child_signal(s->service.pidfd, s->pending_signal);
}

static void
on_info(uint32_t revents, void *arg)
{
	struct shim *s = arg;
	ssize_t n = read(s->info_fd, s->info + s->info_len, INFO_MAX - s->info_len);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		s->info_len += (size_t)n;
	s->info[s->info_len] = '\0';
	if (n > 0 && !memchr(s->info, '}', s->info_len))
		return;
	loop_unwatch(s->info_watch);
	on_info_whole(s);
}

static int
build_box(struct sandbox *box, const struct spec *spec)
{
	sandbox_begin(box, spec->tree, spec->network != SPEC_NETWORK_NONE, false);
	sandbox_bind(box, spec->data, "/data", true);
	sandbox_bind(box, spec->conf, "/conf", false);
	sandbox_bind(box, spec->log, "/log", true);
	sandbox_bind(box, spec->run, "/run/service", true);
	for (char *const *e = spec->env; *e; e++)
		sandbox_env(box, *e);
	sandbox_info_fd(box, CHILD_INFO_FD);
	sandbox_block_fd(box, CHILD_BLOCK_FD);
	return sandbox_end(box, spec->argv);
}

static int
spawn(struct shim *s)
{
	struct child_spec c = CHILD_SPEC;
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	SCOPED(scope_close) int exe = -1;
	SCOPED(scope_close) int log_fd = -1;
	SCOPED(scope_close) int info_in = -1;
	int ends[2], r;

	r = build_box(&box, &s->spec);
	r = r ?: logfile_open(&log_fd, s->spec.log, s->spec.name);
	if (r)
		return r;
	exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	if (exe < 0)
		return REFUSE(REASON_NO_SANDBOX, s->spec.name, "%s cannot be opened",
			SANDBOX_PROGRAM);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return FAULT(-errno);
	s->info_fd = ends[0];
	info_in = ends[1];
	s->info_len = 0;
	/* An eventfd, not a pipe: were we killed now, the service must not begin unrecorded, as it
	 * would where the end of a pipe woke it up. */
	s->go_fd = eventfd(0, EFD_CLOEXEC);
	if (s->go_fd < 0)
		return FAULT(-errno);
	c.exe_fd = exe;
	c.argv = (const char *const *)box.args;
	c.fds[c.n_fds++] = (struct child_fd){ log_fd, STDOUT_FILENO };
	c.fds[c.n_fds++] = (struct child_fd){ log_fd, STDERR_FILENO };
	c.fds[c.n_fds++] = (struct child_fd){ info_in, CHILD_INFO_FD };
	c.fds[c.n_fds++] = (struct child_fd){ s->go_fd, CHILD_BLOCK_FD };
	c.new_session = true;
	if (s->spec.nofile > 0)
		c.limits[c.n_limits++] =
			(struct child_limit){ RLIMIT_NOFILE, s->spec.nofile, s->spec.nofile };
	r = child_spawn(&s->box, &c, NULL);
	if (r)
		return FAULT(r);
	s->started_us = clock_now_us();
	r = child_watch(&s->box_watch, s->loop, &s->box, on_box_ended, s);
	r = r ?: loop_watch(&s->info_watch, s->loop, s->info_fd, EPOLLIN, on_info, s);
	return r ? FAULT(r) : 0;
}

static void
start(struct shim *s)
{
	int r = spawn(s);

	if (r == 0)
		return;
	if (r < 0)
		log_fault(r, "starting the service");
	s->last_exit = -1;
	forget_process(s);
	step(s, SHIM_SPAWN_FAILED);
}

/* --- events in, actions out ------------------------------------------------------------------- */
static void
on_due(void *arg)
{
	step(arg, SHIM_DUE);
}

static void
on_probe_timer(void *arg)
{
	struct shim *s = arg;
	bool starting = s->core.phase == SHIM_STARTING;

	if (starting || s->core.phase == SHIM_UP)
		probe_start(s->probe);
	(void)loop_after(&s->probe_timer, s->loop,
		starting ? STARTING_PROBE_MS : s->spec.health_interval_ms, on_probe_timer, s);
}

static void
on_probed(enum probe_result result, void *arg)
{
	step(arg,
		result == PROBE_PASSED		? SHIM_PASSED
			: result == PROBE_ERROR ? SHIM_PROBE_ERROR
						: SHIM_PROBE_SILENT);
}

static void
arm_due(struct shim *s)
{
	uint64_t now = clock_mono_us();

	loop_cancel(s->due);
	if (s->core.due_us == UINT64_MAX)
		return;
	(void)loop_after(&s->due, s->loop,
		s->core.due_us > now ? (s->core.due_us - now) / CLOCK_US_PER_MS + 1 : 0, on_due, s);
}

static void
step(struct shim *s, enum shim_event event)
{
	enum shim_phase before = s->core.phase;
	unsigned act = shim_core_step(&s->core, event, clock_mono_us());

	if (before != s->core.phase && s->probe && s->core.phase != SHIM_UP)
		(void)loop_after(&s->probe_timer, s->loop, STARTING_PROBE_MS, on_probe_timer, s);
	arm_due(s);
	save(s);
	if (act & SHIM_DO_TERM) {
		send_signal(s, SIGTERM);
		if (s->service.pid > 0)
			send_signal(s, SIGCONT);
	}
	if (act & SHIM_DO_KILL)
		send_signal(s, SIGKILL);
	if (act & SHIM_DO_END)
		(void)sd_event_exit(s->loop, 0);
	if (act & SHIM_DO_START)
		start(s);
}

static void
on_stop(void *arg)
{
	step(arg, SHIM_STOP);
}

static void
on_log_check(void *arg)
{
	struct shim *s = arg;

	(void)logfile_bound(s->spec.log, s->spec.name, s->spec.log_bytes ?: LOG_BYTES);
	(void)loop_after(&s->log_check, s->loop, LOG_CHECK_MS, on_log_check, s);
}

/* --- the beginning ---------------------------------------------------------------------------- */
static int
read_spec(struct shim *s)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);
	int r;

	r = fs_read_fd(SUPERVISE_FD_JOB, SPEC_BYTES_MAX, &text);
	(void)close(SUPERVISE_FD_JOB);
	if (r > 0)
		return REFUSE(r, "service spec", "cannot be read");
	r = r ?: spec_decode(&s->spec, text.data, text.len);
	return r < 0 ? FAULT(r) : r;
}

/* What an earlier shim recorded in this boot: *ret_alive tells whether its service lives.  false
 * where there is nothing. */
static bool
recall(struct shim *s, struct state *ret, bool *ret_alive)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(STATE_FILE_MAX);
	char name[SPEC_NAME_MAX + 8];

	(void)snprintf(name, sizeof(name), "%s.json", s->spec.name);
	if (fs_read(s->dir_fd, name, STATE_FILE_MAX, &text) ||
		state_decode(ret, text.data, text.len) || strcmp(ret->boot, s->boot))
		return false;
	*ret_alive = ret->pid > 0 && child_alive(ret->pid, ret->start_time);
	return true;
}

static void
begin(struct shim *s, bool again)
{
	struct state old;
	bool alive = false;
	bool known = recall(s, &old, &alive);

	if (known && again) {
		s->core.restarts = old.restarts;
		s->last_exit = old.exit;
		s->started_us = old.started_us;
	}
	if (alive && take_service(s, old.pid, old.start_time) == 0) {
		log_info("service %s: found it running as pid %ld", s->spec.name, (long)old.pid);
		s->started_us = old.started_us;
		(void)shim_core_step(&s->core, SHIM_ADOPT, clock_mono_us());
		if (old.is != STATE_STARTING) /* it was up: the next probes tell how it is now */
			step(s, SHIM_PASSED);
		if (strcmp(old.release,
			    s->spec.release)) /* left over from before: it makes room first */
			step(s, SHIM_REPLACE);
	} else if (known && again && (old.is == STATE_STOPPED || old.is == STATE_FAILED)) {
		s->core.phase = SHIM_GONE; /* the earlier shim had ended its work */
		(void)sd_event_exit(s->loop, 0);
	} else {
		step(s, known && again ? SHIM_EXITED : SHIM_BEGIN);
	}
}

static int
open_shim(struct shim *s, const struct paths *paths)
{
	SCOPED(scope_close) int run = -1;
	int r;

	r = read_spec(s);
	r = r ?: process_boot_id(s->boot);
	if (r)
		return r < 0 ? FAULT(r) : r;
	run = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		return FAULT(-errno);
	s->dir_fd = openat(run, "shim", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return FAULT(-errno);
	shim_core_init(&s->core, &s->spec);
	r = loop_new(&s->loop, on_stop, s);
	if (!r && s->spec.health != SPEC_HEALTH_NONE)
		r = probe_new(&s->probe, s->loop, &s->spec, on_probed, s);
	if (!r && s->probe)
		r = loop_after(&s->probe_timer, s->loop, STARTING_PROBE_MS, on_probe_timer, s);
	r = r ?: loop_after(&s->log_check, s->loop, LOG_CHECK_MS, on_log_check, s);
	return r ? FAULT(r) : 0;
}

static void
close_shim(struct shim *s)
{
	forget_process(s);
	loop_cancel(s->due);
	loop_cancel(s->probe_timer);
	loop_cancel(s->log_check);
	probe_free(s->probe);
	spec_done(&s->spec);
	buf_done(&s->saved);
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd);
	sd_event_unref(s->loop);
}

int
shim_run(const struct paths *paths, bool again)
{
	struct shim s = { .saved = BUF_MAX(STATE_FILE_MAX),
		.dir_fd = -1,
		.info_fd = -1,
		.go_fd = -1,
		.service = { .pidfd = -1 },
		.box = { .pidfd = -1 },
		.last_exit = -1 };
	int r;

	r = open_shim(&s, paths);
	if (r == 0) {
		begin(&s, again);
		r = loop_run(s.loop);
	}
	close_shim(&s);
	return r;
}
