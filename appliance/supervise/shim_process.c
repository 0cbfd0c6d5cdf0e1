/* The service's process, and bubblewrap around it: started, watched, told by signals, and found again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/service/sandbox.h"
#include "appliance/supervise/logfile.h"
#include "appliance/supervise/shim_room.h"

enum {
	LOOK_MS = 1000,	  /* between looks at /proc for state T */
	STATUS_MS = 1000, /* that bubblewrap may take to tell the status of what has ended */
};

void
shim_process_forget(struct shim *s)
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
	if (s->log_fd >= 0)
		(void)close(s->log_fd);
	s->info_fd = s->go_fd = s->log_fd = -1;
	s->service = s->box = (struct child){ .pidfd = -1 };
	s->service_ended = s->box_ended = s->box_killed = false;
	s->pending_signal = 0;
}

/* The service has ended, and so has bubblewrap, or it had its time. */
static void
ended(struct shim *s, int status)
{
	char text[64], what[160];
	bool no_memory = group_kills(s->boxed.group.kills) > s->kills;

	s->last_exit = status < 0     ? -1
		: WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				      : WEXITSTATUS(status);
	(void)snprintf(what, sizeof(what), "%s%s", child_describe(text, sizeof(text), status),
		no_memory ? "; the kernel ended a process of it: it had reached its limit of memory"
			  : "");
	log_info("service %s: %s", s->spec.name, what);
	if (s->core.phase != SHIM_ENDING)
		shim_state_say_why(s, what);
	if (s->probe)
		probe_cancel(s->probe);
	shim_process_forget(s);
	shim_step(s, SHIM_EXITED);
}

static void
on_status_missing(void *arg)
{
	struct shim *s = arg;

	/* The service is gone and bubblewrap is not: somebody stopped it. */
	if (s->box.pid > 0 && !s->box_killed) {
		s->box_killed = true;
		(void)child_signal(s->box.pidfd, SIGKILL);
		if (loop_after(&s->status_wait, s->loop, STATUS_MS, on_status_missing, s) == 0)
			return;
	}
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
		ended(s, s->box_killed ? -1 : status);
	else if (WIFSIGNALED(status)) {
		(void)close(s->box.pidfd);
		s->box = (struct child){ .pidfd = -1 };
		s->box_ended = false;
	}
}

void
shim_process_signal(struct shim *s, int sig)
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
		shim_step(s, s->core.stopped ? SHIM_CONTINUED : SHIM_STOPPED);
}

int
shim_process_take(struct shim *s, pid_t pid, uint64_t starttime)
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
	int r;

	if (pid <= 0 || child_starttime(&starttime, pid) || shim_process_take(s, pid, starttime))
		return; /* it has ended already; bubblewrap's end tells */
	shim_state_save(s);
	r = sandbox_go(s->go_fd);
	if (r)
		log_fault(r, "letting the service begin"); /* its start ends by time */
	if (s->pending_signal)
		(void)child_signal(s->service.pidfd, s->pending_signal);
}

static void
on_info(uint32_t revents, void *arg)
{
	struct shim *s = arg;
	ssize_t n = read(s->info_fd, s->info + s->info_len, SHIM_INFO_MAX - s->info_len);

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

int
shim_process_claim(struct shim *s)
{
	return s->log_fd >= 0 ? 0 : logfile_claim(&s->log_fd, s->spec.log, s->spec.name);
}

int
shim_process_spawn(struct shim *s)
{
	SCOPED(scope_close) int info_in = -1;
	struct boxed_ends ends = { 0 };
	int pipe_ends[2], r;

	if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return FAULT(-errno);
	s->info_fd = pipe_ends[0];
	info_in = pipe_ends[1];
	s->info_len = 0;
	/* Were we killed now, the service must not begin unrecorded. */
	r = sandbox_gate(&s->go_fd);
	if (r)
		return r;
	ends = (struct boxed_ends){ s->log_fd, s->log_fd, info_in, s->go_fd };
	s->kills = group_kills(s->boxed.group.kills);
	r = boxed_spawn(&s->box, &s->boxed, s->spec.argv, BOXED_DATA | BOXED_SECRETS, &ends);
	if (r)
		return r;
	s->started_us = clock_now_us();
	r = child_watch(&s->box_watch, s->loop, &s->box, on_box_ended, s);
	r = r ?: loop_watch(&s->info_watch, s->loop, s->info_fd, EPOLLIN, on_info, s);
	return r ? FAULT(r) : 0;
}
