#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/supervise/logfile.h"
#include "appliance/supervise/shim_room.h"

/* --- preparation ------------------------------------------------------------------------------ */
static void
prepare_name(char *out, size_t size, const struct shim *s)
{
	(void)snprintf(out, size, ".prepare.%s", s->spec.creates);
}

bool
shim_task_is_needed(struct shim *s)
{
	SCOPED(scope_close) int data = open(s->spec.data, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return *s->spec.prepare && data >= 0 &&
		faccessat(data, s->spec.creates, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static int
run_inside(struct shim *s, char *const *argv)
{
	SCOPED(scope_close) int log_fd = -1;
	struct boxed_job job = { .argv = argv, .rights = BOXED_DATA | BOXED_SECRETS, .expect = "" };
	int r;

	r = logfile_open(&log_fd, s->spec.log, s->spec.name);
	job.log_fd = log_fd;
	return r ?: boxed_run_start(s->run, &job);
}

int
shim_task_prepare(struct shim *s)
{
	char name[SPEC_NAME_MAX + 16];
	SCOPED(scope_close) int data = -1;
	int r = 0;

	prepare_name(name, sizeof(name), s);
	data = open(s->spec.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data < 0)
		return FAULT(-errno);
	/* What an earlier try left is worth nothing. */
	if (faccessat(data, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = fs_remove_tree(data, name);
	if (!r && mkdirat(data, name, 0700) < 0)
		r = -errno;
	if (r)
		return FAULT(r);
	s->preparing = true;
	log_info("service %s: preparing %s", s->spec.name, s->spec.creates);
	return run_inside(s, s->spec.prepare);
}

/* All of it is on disk before it has its name, which says that it is whole. */
static int
keep_prepared(struct shim *s)
{
	char name[SPEC_NAME_MAX + 16];
	SCOPED(scope_close) int data = -1;

	prepare_name(name, sizeof(name), s);
	data = open(s->spec.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data < 0 || syncfs(data) < 0 || renameat(data, name, data, s->spec.creates) < 0)
		return FAULT(-errno);
	return FAULT(fs_sync_dir(data));
}

static void
on_prepared(struct shim *s, bool passed)
{
	int r;

	s->preparing = false;
	r = passed ? keep_prepared(s) : 0;
	if (r < 0)
		log_fault(r, "keeping what was prepared");
	if (passed && !r) {
		shim_step(s, SHIM_PREPARED);
		return;
	}
	shim_state_say_why(s, passed ? "what was prepared could not be kept" : "its preparation failed");
	log_warning("service %s: %s", s->spec.name, s->why);
	shim_step(s, SHIM_SPAWN_FAILED);
}

/* --- reload ----------------------------------------------------------------------------------- */
static void
reloaded(struct shim *s, const char *wrong)
{
	loop_cancel(s->reload_late);
	s->reloads++;
	s->reload_failed = wrong;
	if (wrong) {
		shim_state_say_why(s, wrong);
		log_warning("service %s: %s", s->spec.name, s->why);
		shim_state_save(s);
		return;
	}
	s->why[0] = '\0';
	shim_step(s, SHIM_RELOADED);
	shim_ask(s); /* whoever asked for it waits for its health */
}

static void
on_reload_late(void *arg)
{
	struct shim *s = arg;

	boxed_run_cancel(s->run);
	reloaded(s, "its reload did not end in time");
}

void
shim_task_ended(bool passed, void *arg)
{
	struct shim *s = arg;

	if (s->preparing)
		on_prepared(s, passed);
	else
		reloaded(s, passed ? NULL : "its reload failed");
}

void
shim_task_reload(struct shim *s)
{
	int r = 0;

	if ((s->core.phase != SHIM_UP && s->core.phase != SHIM_STARTING) || s->service.pid <= 0) {
		reloaded(s, "it was not running when it was to reload");
		return;
	}
	/* A signal has no answer: where there is a program as well, it says what came of it. */
	if (s->spec.reload_signal)
		(void)child_signal(s->service.pidfd, s->spec.reload_signal);
	if (*s->spec.reload) {
		r = run_inside(s, s->spec.reload);
		r = r
			?: loop_after(&s->reload_late, s->loop, s->spec.start_timeout_ms,
				   on_reload_late, s);
		if (r)
			reloaded(s,
				r == REASON_BUSY ? "its last reload has not ended"
						 : "its reload could not be started");
	} else {
		reloaded(s,
			s->spec.reload_signal ? NULL : "its running release knows no reload");
	}
}
