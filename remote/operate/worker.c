#include "remote/operate/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/sandbox.h"
#include "remote/operate/mask.h"
#include "remote/operate/worker_room.h"

enum {
	CHUNK = OPERATE_CHUNK_MAX,
	DRAIN_MS = 5000, /* that output may still take after the end, or after the kill */
	CPU_TOLD_PERCENT = 90,
};

static void
worker_done(struct worker *w)
{
	for (int i = ON_OUT; i <= ON_STATUS; i++)
		scope_close(&w->polls[i].fd);
	scope_close(&w->go_fd);
	scope_close(&w->inside_fd);
	if (w->box.pid > 0)
		scope_close(&w->box.pidfd);
	mask_done(&w->mask);
	explicit_bzero(w->rest, sizeof(w->rest));
}

/* --- while it runs ---------------------------------------------------------------------------- */
static void
end_it(struct worker *w, enum operate_outcome outcome)
{
	if (w->killed)
		return;
	w->killed = true;
	w->outcome = outcome;
	/* The first process of a PID namespace takes all others with it.  Where it was not told
	 * yet, it is killed when it is. */
	if (w->inside > 0)
		(void)child_signal(w->inside_fd, SIGKILL);
	w->due_us = clock_mono_us() + DRAIN_MS * CLOCK_US_PER_MS;
}

/* As much as one processor gives in its time, and at most a second more: what needs only one meets its time first. */
static uint64_t
cpu_s(const struct worker *w)
{
	return w->job->timeout_ms / 1000 + 1;
}

/* The limits of what runs inside, set before it runs: bubblewrap needs more than they give. */
static int
set_limits(const struct worker *w)
{
	bool fenced = w->fence->n > 0 || w->fence->kills >= 0;
	const struct {
		int resource;
		uint64_t max;
	} limits[] = {
		{ RLIMIT_AS, fenced ? 0 : w->job->memory },
		{ RLIMIT_NPROC, fenced ? 0 : w->job->processes },
		{ RLIMIT_CPU, cpu_s(w) },
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit l = { limits[i].max, limits[i].max };

		if (limits[i].max > 0 && prlimit(w->inside, limits[i].resource, &l, NULL) < 0)
			return -errno;
	}
	return 0;
}

static void
on_inside(struct worker *w)
{
	pid_t pid = sandbox_child_pid(w->status);
	struct child child;
	uint64_t starttime;

	if (w->inside > 0 || pid == 0)
		return;
	if (child_starttime(&starttime, pid) || child_adopt(&child, pid, starttime))
		return; /* it has ended already, which will be seen */
	w->inside = pid;
	w->inside_fd = child.pidfd;
	/* Never without its limits; the missing exit code then says that nothing has run. */
	if (w->killed)
		(void)child_signal(w->inside_fd, SIGKILL);
	else if (set_limits(w) < 0 || sandbox_go(w->go_fd) < 0)
		end_it(w, OPERATE_FAILED);
}

static void
on_status(struct worker *w)
{
	ssize_t n =
		read(w->polls[ON_STATUS].fd, w->status + w->status_len, WORKER_STATUS_MAX - w->status_len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		scope_close(&w->polls[ON_STATUS].fd);
		return;
	}
	w->status_len += (size_t)n;
	w->status[w->status_len] = '\0';
	on_inside(w);
}

static bool
is_full(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLOUT };

	return poll(&p, 1, 0) == 0;
}

/* To the monitor, in frames.  Where it is gone, the operation ends soon: nothing is lost to anybody. */
static int
send_output(struct worker *w, int which, const uint8_t *p, size_t len)
{
	struct operate_output o = { .stream = which == ON_OUT ? OPERATE_STDOUT : OPERATE_STDERR };
	int r = 0;

	for (size_t at = 0; at < len && r == 0; at += o.len) {
		o.bytes = p + at;
		o.len = len - at < OPERATE_CHUNK_MAX ? len - at : OPERATE_CHUNK_MAX;
		r = operate_output_send(w->job_sock, &o);
	}
	w->full = r == 0 && is_full(w->job_sock);
	return r == -ECONNRESET ? 0 : FAULT(r);
}

/* Handed on, without secrets and as far as there is room; end: this output has ended. */
static int
pass_on(struct worker *w, int which, const void *p, size_t len, bool end)
{
	struct buf b = BUF_MAX((CHUNK + OPERATE_SECRET_MAX) * sizeof(MASK_TEXT));
	size_t take;
	int r;

	if (w->room == 0) { /* read to its end, and thrown away */
		w->truncated = w->truncated || len > 0 || (end && w->rest[which].len > 0);
		return 0;
	}
	r = mask_feed(&w->mask, &w->rest[which], p, len, end, &b);
	take = b.len < w->room ? b.len : w->room;
	if (take < b.len)
		w->truncated = true;
	w->room -= (uint32_t)take;
	if (r == 0 && take > 0)
		r = send_output(w, which, b.data, take);
	buf_done(&b);
	return FAULT(r);
}

static int
close_output(struct worker *w, int which)
{
	if (w->polls[which].fd < 0)
		return 0;
	scope_close(&w->polls[which].fd);
	return pass_on(w, which, "", 0, true);
}

static int
on_output(struct worker *w, int which)
{
	char chunk[CHUNK];
	ssize_t n = read(w->polls[which].fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return close_output(w, which);
	return pass_on(w, which, chunk, (size_t)n, false);
}

static bool
is_over(const struct worker *w)
{
	return w->polls[ON_CHILD].fd < 0 && w->polls[ON_OUT].fd < 0 && w->polls[ON_ERR].fd < 0 &&
		w->polls[ON_STATUS].fd < 0;
}

/* While the monitor takes nothing, the operation's outputs are not looked at. */
static int
await(struct worker *w, int ms)
{
	struct pollfd polls[ON_MAX];
	int n;

	memcpy(polls, w->polls, sizeof(polls));
	if (w->full) {
		polls[ON_OUT].fd = polls[ON_ERR].fd = -1;
		polls[ON_JOB].events |= POLLOUT;
	}
	n = poll(polls, ON_MAX, ms);
	if (n < 0)
		return -errno;
	for (int i = 0; i < ON_MAX; i++)
		w->polls[i].revents = polls[i].revents;
	if (w->full && polls[ON_JOB].revents)
		w->full = false;
	w->polls[ON_JOB].revents &= (short)~POLLOUT;
	return n;
}

static int
turn(struct worker *w)
{
	uint64_t now = clock_mono_us();
	int ms = now >= w->due_us ? 0 : (int)((w->due_us - now) / CLOCK_US_PER_MS) + 1;
	int n = await(w, ms), r = 0;

	if (n < 0)
		return n == -EINTR ? 0 : FAULT(n);
	if (n == 0 && clock_mono_us() >= w->due_us) {
		if (w->killed) { /* a pipe that somebody else holds open does not hold us */
			(void)child_signal(w->box.pidfd, SIGKILL);
			r = close_output(w, ON_OUT);
			r = r ?: close_output(w, ON_ERR);
			scope_close(&w->polls[ON_STATUS].fd);
			w->due_us += DRAIN_MS * CLOCK_US_PER_MS;
		}
		end_it(w, OPERATE_TIMEOUT);
		return r;
	}
	for (int i = ON_OUT; i <= ON_ERR && r == 0; i++)
		if (w->polls[i].revents)
			r = on_output(w, i);
	if (w->polls[ON_STATUS].revents)
		on_status(w);
	if (w->polls[ON_JOB].revents || w->polls[ON_STOP].revents) {
		end_it(w, OPERATE_CANCELLED); /* nobody waits any more, or we were asked to */
		w->full = false;
		w->polls[ON_JOB].fd = w->polls[ON_STOP].fd = -1;
	}
	if (w->polls[ON_CHILD].revents && w->polls[ON_CHILD].fd >= 0) {
		w->polls[ON_CHILD].fd = -1;
		if (!w->killed) {
			w->killed = true; /* nothing is left to kill */
			w->due_us = clock_mono_us() + DRAIN_MS * CLOCK_US_PER_MS;
		}
	}
	return r;
}

/* --- the end ---------------------------------------------------------------------------------- */
static unsigned
reached(const struct worker *w, const struct operate_result *r)
{
	unsigned limits = fence_reached(w->fence, r->wall_ms);

	/* Not we: the kernel ended it at its processor time, which it counts in ticks; what it tells us is exact, and less of it
	 * where the machine is busy. */
	if (!w->outcome && r->signal == SIGKILL && r->cpu_ms >= cpu_s(w) * 1000 * CPU_TOLD_PERCENT / 100)
		limits |= OPERATE_LIMIT_CPU;
	/* Nobody counts; what looks like it is said to look like it. */
	if (w->fence->n == 0 && r->outcome == OPERATE_FAILED && !limits &&
		(r->signal || (w->job->memory && r->max_rss >= w->job->memory / 2)))
		limits |= OPERATE_LIMIT_UNTOLD;
	return limits;
}

static int
conclude(struct worker *w, int status, struct operate_result *ret)
{
	bool built = strstr(w->status, "\"exit-code\"") != NULL;
	struct rusage ru = { 0 };
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	if (!built && !w->outcome)
		return REFUSE(REASON_NO_SANDBOX, "operation", "its sandbox could not be built");
	if (!built && w->outcome == OPERATE_FAILED)
		return REFUSE(REASON_NO_SANDBOX, "operation", "its limits could not be set");
	(void)getrusage(RUSAGE_CHILDREN, &ru);
	*ret = (struct operate_result){ .outcome = w->outcome
			?: code == 0 ? OPERATE_OK
				     : OPERATE_FAILED,
		/* bubblewrap tells a signal as a shell does. */
		.exit_status = code > 128 ? -1 : code,
		.signal = code > 128 ? code - 128 : 0,
		.cpu_ms = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
			(uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000,
		.max_rss = (uint64_t)ru.ru_maxrss * 1024,
		.wall_ms = (clock_mono_us() - w->begun_us) / CLOCK_US_PER_MS,
		.truncated = w->truncated };
	ret->limits = reached(w, ret);
	return 0;
}

int
worker_run(const struct operate_job *job, const struct fence *fence, int job_sock, int stop_fd,
	struct operate_result *ret)
{
	SCOPED(worker_done)
	struct worker w = { .job = job,
		.fence = fence,
		.inside_fd = -1,
		.go_fd = -1,
		.job_sock = job_sock,
		.room = job->output };
	int r, status = 0;

	for (int i = 0; i < ON_MAX; i++)
		w.polls[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	w.polls[ON_JOB] = (struct pollfd){ .fd = job_sock, .events = POLLIN | POLLRDHUP };
	w.polls[ON_STOP].fd = stop_fd;
	r = mask_load(&w.mask, job->secrets, job->n_secrets);
	r = r ?: worker_start(&w);
	while (r == 0 && !is_over(&w))
		r = turn(&w);
	if (w.box.pid > 0) {
		if (r)
			(void)child_signal(w.inside > 0 ? w.inside_fd : w.box.pidfd, SIGKILL);
		r = r ?: child_wait(&w.box, -1, &status);
	}
	if (r)
		return r < 0 ? FAULT(r) : r;
	return conclude(&w, status, ret);
}
