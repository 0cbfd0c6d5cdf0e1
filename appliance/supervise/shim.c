#include "appliance/supervise/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/identity.h"
#include "appliance/supervise/logfile.h"
#include "appliance/supervise/shim_room.h"
#include "appliance/supervise/supervise_wire.h"

enum {
	LOG_BYTES = 64 * 1024 * 1024,
	LOG_CHECK_MS = 5000,
	LOG_FLOOD_MS = 200,	 /* between looks at one that grows fast */
	STARTING_PROBE_MS = 200, /* between probes while it starts; the first ones come sooner */
	STARTING_FIRST_MS = 50,
};

/* --- starting --------------------------------------------------------------------------------- */
static void
start(struct shim *s)
{
	int r = shim_process_claim(s);
	bool first = r == 0 && shim_task_is_needed(s);

	if (first)
		shim_step(s, SHIM_PREPARE);
	s->elsewhere = r == REASON_BUSY;
	if (r == 0)
		r = first ? shim_task_prepare(s) : shim_process_spawn(s);
	if (r == 0)
		return;
	if (r < 0)
		log_fault(r, "starting the service");
	s->preparing = false;
	s->last_exit = -1;
	(void)snprintf(s->why, sizeof(s->why), "it could not be started: %.400s",
		r > 0 ? refuse_last()->text : strerror(-r));
	for (char *c = s->why; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	shim_process_forget(s);
	shim_step(s, SHIM_SPAWN_FAILED);
}

/* --- events in, actions out ------------------------------------------------------------------- */
static void
on_due(void *arg)
{
	shim_step(arg, SHIM_DUE);
}

/* counts: where it fails that is one of the failures in a row that make the service failing. */
static void
probe(struct shim *s, bool counts)
{
	if (s->core.phase != SHIM_STARTING && s->core.phase != SHIM_UP)
		return;
	if (probe_runs(s->probe)) {
		s->probe_counts = s->probe_counts || counts;
		return;
	}
	s->probe_began_us = clock_mono_us();
	s->probe_counts = counts;
	probe_start(s->probe);
}

static void
on_probe_timer(void *arg)
{
	struct shim *s = arg;
	uint64_t ms = s->spec.health_interval_ms;

	probe(s, true);
	if (s->core.phase == SHIM_STARTING) {
		ms = s->starting_ms;
		s->starting_ms = ms < STARTING_PROBE_MS ? 2 * ms : ms;
	}
	(void)loop_after(&s->probe_timer, s->loop, ms, on_probe_timer, s);
}

static void
on_asked_timer(void *arg)
{
	struct shim *s = arg;

	s->asked_timer = loop_cancel(s->asked_timer);
	probe(s, false);
}

void
shim_ask(struct shim *s)
{
	if (!s->probe)
		return;
	shim_look_ask(&s->asked, clock_mono_us());
	probe(s, false);
}

static void
on_probed(enum probe_result result, void *arg)
{
	struct shim *s = arg;
	uint64_t ms = shim_look_probed(&s->asked, s->probe_began_us, result == PROBE_PASSED);

	if (result == PROBE_PASSED)
		shim_step(s, SHIM_PASSED);
	else if (s->probe_counts)
		shim_step(s, result == PROBE_ERROR ? SHIM_PROBE_ERROR : SHIM_PROBE_SILENT);
	if (ms != UINT64_MAX)
		(void)loop_after(&s->asked_timer, s->loop, ms, on_asked_timer, s);
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

void
shim_step(struct shim *s, enum shim_event event)
{
	enum shim_phase before = s->core.phase;
	unsigned act = shim_core_step(&s->core, event, clock_mono_us());

	if (before != s->core.phase && s->probe && s->core.phase != SHIM_UP) {
		s->starting_ms = STARTING_FIRST_MS;
		(void)loop_after(&s->probe_timer, s->loop, STARTING_FIRST_MS, on_probe_timer, s);
	}
	arm_due(s);
	shim_state_save(s);
	if (act & SHIM_DO_ABANDON) {
		shim_state_say_why(s, "its preparation did not end in time");
		s->preparing = false;
		boxed_run_cancel(s->run);
	}
	if (act & SHIM_DO_TERM) {
		shim_process_signal(s, s->spec.stop_signal);
		if (s->service.pid > 0)
			shim_process_signal(s, SIGCONT);
	}
	if (act & SHIM_DO_KILL)
		shim_process_signal(s, SIGKILL);
	if (act & SHIM_DO_END)
		(void)sd_event_exit(s->loop, 0);
	if (act & SHIM_DO_START)
		start(s);
}

static void
on_stop(void *arg)
{
	shim_step(arg, SHIM_STOP);
}

static void
on_log_check(void *arg)
{
	struct shim *s = arg;
	uint64_t max = s->spec.log_bytes ?: LOG_BYTES;
	uint64_t size;

	(void)logfile_bound(s->spec.log, s->spec.name, max);
	size = logfile_size(s->spec.log, s->spec.name);
	/* One that would be over its bound by the next look is looked at sooner. */
	(void)loop_after(&s->log_check, s->loop,
		size > s->log_size && size - s->log_size > max / 8 ? LOG_FLOOD_MS : LOG_CHECK_MS,
		on_log_check, s);
	s->log_size = size;
}

static int
on_hangup(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	(void)src;
	(void)si;
	shim_task_reload(arg);
	return 0;
}

/* A signal that a shim of an older core, which knows nothing of it, does not notice. */
static int
on_urgent(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
	(void)src;
	(void)si;
	shim_ask(arg);
	return 0;
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

static bool
is_of_group(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
		(fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

/* Descriptors behind the spec: secrets, then what opens and watches the control group.  Before anything
 * else is opened. */
static void
take_descriptors(struct shim *s, struct group *ret)
{
	int fd = SUPERVISE_FD_JOB + 1;

	for (size_t i = 0; i < s->spec.n_secrets; i++) {
		char link[32], target[16] = "";
		ssize_t n;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < 7 || memcmp(target, "/memfd:", 7))
			break; /* a supervisor that lost them: our state says so, and the monitor brings them */
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		s->spec.secrets[i].fd = fd++;
	}
	for (; is_of_group(fd); fd++) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
			ret->kills = fd;
		else if (ret->n_procs < GROUP_CONTROLLERS)
			ret->procs[ret->n_procs++] = fd;
	}
}

static void
begin(struct shim *s, bool again)
{
	struct state old;
	bool alive = false;
	bool known = shim_state_recall(s, &old, &alive);

	if (known && again) {
		s->core.restarts = old.restarts;
		s->last_exit = old.exit;
		s->reloads = old.reloads;
		s->reload_failed = old.reload_failed;
		(void)snprintf(s->why, sizeof(s->why), "%s", old.why);
		s->started_us = old.started_us;
	}
	if (alive && shim_process_take(s, old.pid, old.start_time) == 0) {
		log_info("service %s: found it running as pid %ld", s->spec.name, (long)old.pid);
		s->started_us = old.started_us;
		(void)shim_core_step(&s->core, SHIM_ADOPT, clock_mono_us());
		if (old.is != STATE_STARTING) /* it was up: the next probes tell how it is now */
			shim_step(s, SHIM_PASSED);
		if (strcmp(old.release,
			    s->spec.release)) /* left over from before: it makes room first */
			shim_step(s, SHIM_REPLACE);
	} else if (known && again && (old.is == STATE_STOPPED || old.is == STATE_FAILED)) {
		s->core.phase = SHIM_GONE; /* the earlier shim had ended its work */
		(void)sd_event_exit(s->loop, 0);
	} else {
		shim_step(s, known && again ? SHIM_EXITED : SHIM_BEGIN);
	}
}

static int
open_shim(struct shim *s, const struct paths *paths)
{
	SCOPED(scope_close) int run = -1;
	struct group group = { .kills = -1 };
	struct identity id;
	int r;

	r = read_spec(s);
	if (r)
		return r < 0 ? FAULT(r) : r;
	take_descriptors(s, &group);
	r = boxed_open(&s->boxed, &s->spec);
	if (r)
		return r < 0 ? FAULT(r) : r;
	s->boxed.group = group;
	s->boxed.own_user = identity_load(&id, paths) == 0 && id.separate;
	r = process_boot_id(s->boot);
	if (r)
		return r < 0 ? FAULT(r) : r;
	run = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		return FAULT(-errno);
	s->dir_fd = openat(run, "shim", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return FAULT(-errno);
	shim_core_init(&s->core, &s->spec);
	s->asked.period_ms = s->spec.health_interval_ms;
	s->starting_ms = STARTING_FIRST_MS;
	r = loop_new(&s->loop, on_stop, s);
	r = r ?: sd_event_add_signal(s->loop, NULL, SIGHUP, on_hangup, s);
	r = r < 0 ? r : sd_event_add_signal(s->loop, NULL, SIGURG, on_urgent, s);
	if (r < 0)
		return FAULT(r);
	r = boxed_run_new(&s->run, s->loop, &s->boxed, shim_task_ended, s);
	if (!r && s->spec.health != SPEC_HEALTH_NONE)
		r = probe_new(&s->probe, s->loop, &s->boxed, on_probed, s);
	if (!r && s->probe)
		r = loop_after(&s->probe_timer, s->loop, STARTING_FIRST_MS, on_probe_timer, s);
	r = r ?: loop_after(&s->log_check, s->loop, LOG_CHECK_MS, on_log_check, s);
	return r ? FAULT(r) : 0;
}

static void
close_shim(struct shim *s)
{
	shim_process_forget(s);
	loop_cancel(s->due);
	loop_cancel(s->probe_timer);
	loop_cancel(s->asked_timer);
	loop_cancel(s->log_check);
	loop_cancel(s->reload_late);
	probe_free(s->probe);
	boxed_run_free(s->run);
	boxed_done(&s->boxed);
	spec_done(&s->spec);
	buf_done(&s->saved);
	if (s->dir_fd >= 0)
		(void)close(s->dir_fd);
	sd_event_unref(s->loop);
}

int
shim_run(const struct paths *paths, bool again)
{
	struct shim s = { .saved = BUF_MAX(SHIM_STATE_BYTES_MAX),
		.dir_fd = -1,
		.info_fd = -1,
		.log_fd = -1,
		.go_fd = -1,
		.service = { .pidfd = -1 },
		.box = { .pidfd = -1 },
		.boxed = { .filter = -1, .passwd = -1, .users = -1, .group = { .kills = -1 } },
		.last_exit = -1 };
	sigset_t set;
	int r;

	/* A request to reload, or to look, that comes while we begin waits. */
	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGHUP) < 0 || sigaddset(&set, SIGURG) < 0 ||
		sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return FAULT(-errno);
	r = open_shim(&s, paths);
	if (r == 0) {
		begin(&s, again);
		r = loop_run(s.loop);
	}
	r = r ?: s.elsewhere ? REASON_BUSY : 0;
	close_shim(&s);
	return r;
}
