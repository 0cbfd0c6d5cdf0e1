#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/filter.h"
#include "remote/operate/profile.h"
#include "remote/operate/worker_room.h"

enum { NICE = 10 /* what keeps the site going comes first */ };

struct ends {
	int out, err, status, filter, exe, passwd, group;
};

static void
ends_done(struct ends *e)
{
	scope_close(&e->out);
	scope_close(&e->err);
	scope_close(&e->status);
	scope_close(&e->filter);
	scope_close(&e->exe);
	scope_close(&e->passwd);
	scope_close(&e->group);
}

static int
make_pipe(int *ret_read, int *ret_write)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return FAULT(-errno);
	(void)fcntl(p[0], F_SETFL, O_NONBLOCK);
	*ret_read = p[0];
	*ret_write = p[1];
	return 0;
}

/* As which user it runs: its run folder is called as the service. */
static const char *
service_name(const struct operate_job *job)
{
	const char *slash = strrchr(job->run, '/');

	return slash ? slash + 1 : job->run;
}

/* In bubblewrap's place, before it is executed. */
static int
enter(void *arg)
{
	const struct worker *w = arg;

	/* EACCES: we are nicer already, and have no capability to go back. */
	if (setpriority(PRIO_PROCESS, 0, NICE) < 0 && errno != EACCES)
		return -errno;
	return fence_enter(PROFILE_FENCE_FD, w->fence->n);
}

int
worker_start(struct worker *w)
{
	SCOPED(ends_done) struct ends e = { -1, -1, -1, -1, -1, -1, -1 };
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	struct child_spec c = CHILD_SPEC;
	int r;

	r = profile_build(&box, w->job);
	r = r ?: filter_export(&e.filter);
	r = r ?: sandbox_users_files(&e.passwd, &e.group, service_name(w->job), geteuid());
	r = r ?: make_pipe(&w->polls[ON_OUT].fd, &e.out);
	r = r ?: make_pipe(&w->polls[ON_ERR].fd, &e.err);
	r = r ?: make_pipe(&w->polls[ON_STATUS].fd, &e.status);
	if (r)
		return r < 0 ? FAULT(r) : r;
	e.exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	if (e.exe < 0)
		return REFUSE(REASON_NO_SANDBOX, "operation", "%s cannot be opened",
			SANDBOX_PROGRAM);
	r = sandbox_gate(&w->go_fd);
	if (r)
		return r;
	c.exe_fd = e.exe;
	c.argv = (const char *const *)box.args;
	c.fds[c.n_fds++] = (struct child_fd){ e.out, STDOUT_FILENO };
	c.fds[c.n_fds++] = (struct child_fd){ e.err, STDERR_FILENO };
	c.fds[c.n_fds++] = (struct child_fd){ e.status, PROFILE_STATUS_FD };
	c.fds[c.n_fds++] = (struct child_fd){ w->go_fd, PROFILE_BLOCK_FD };
	c.fds[c.n_fds++] = (struct child_fd){ e.filter, PROFILE_SECCOMP_FD };
	c.fds[c.n_fds++] = (struct child_fd){ e.passwd, PROFILE_PASSWD_FD };
	c.fds[c.n_fds++] = (struct child_fd){ e.group, PROFILE_GROUP_FD };
	for (size_t i = 0; profile_has_secrets(w->job->profile) && i < w->job->n_secrets; i++)
		c.fds[c.n_fds++] =
			(struct child_fd){ w->job->secrets[i].fd, PROFILE_SECRETS_FD + (int)i };
	for (int i = 0; i < w->fence->n; i++)
		c.fds[c.n_fds++] = (struct child_fd){ w->fence->procs[i], PROFILE_FENCE_FD + i };
	c.setup = enter;
	c.setup_arg = w;
	c.parent_death_signal = SIGKILL;
	c.new_session = true;
	w->begun_us = clock_mono_us();
	w->due_us = w->begun_us + w->job->timeout_ms * CLOCK_US_PER_MS;
	r = child_spawn(&w->box, &c, NULL);
	if (r < 0)
		w->box.pid = 0;
	w->polls[ON_CHILD].fd = r < 0 ? -1 : w->box.pidfd;
	return FAULT(r);
}
