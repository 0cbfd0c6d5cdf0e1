#include "appliance/monitor/judge.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_request.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/service/spawn.h"

struct job {
	struct judge_queue *queue;
	enum judge_kind kind;
	char name[256];
	int in_fd, out_fd;
	struct frame_conn *conn; /* NULL while it waits */
	struct loop_timer *limit;
	pid_t pid; /* 0 until the spawner told */
	judge_done_fn *done;
	void *arg;
	struct job *next;
};

struct judge_queue {
	struct monitor *m;
	struct job *jobs; /* in order of arrival; the first ones run */
	size_t n_jobs, n_running;
	size_t n_spawning; /* answers of the spawner that are still to come */
	bool closed;	   /* lives on for those only */
	struct loop_timer *kick;
};

static void start_jobs(void *arg);

static struct job *
job_free(struct job *job)
{
	if (!job)
		return NULL;
	scope_close(&job->in_fd);
	scope_close(&job->out_fd);
	job->conn = frame_conn_close(job->conn);
	job->limit = loop_cancel(job->limit);
	free(job);
	return NULL;
}

SCOPED_DESTRUCTOR(struct job, job_free)

/* Take the job out and tell its owner. */
static void
finish(struct job *job, int r, const json_t *answer)
{
	struct judge_queue *q = job->queue;
	judge_done_fn *done = job->done;
	void *arg = job->arg;
	struct job **at;

	for (at = &q->jobs; *at != job; at = &(*at)->next)
		;
	*at = job->next;
	q->n_jobs--;
	if (job->conn)
		q->n_running--;
	job_free(job);
	(void)loop_after(&q->kick, q->m->loop, 0, start_jobs, q);
	done(r, answer, arg);
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(JUDGE_OUTPUT_MAX);
	SCOPED_JSON *answer = NULL, *none = NULL;
	struct job *job = arg;
	int r = call_request_answer(f, &none);

	(void)conn;
	if (r == 0) {
		r = fs_read_fd(job->out_fd, JUDGE_OUTPUT_MAX, &b);
		if (r > 0)
			r = REFUSE(r, job->name, "what the judge wrote cannot be read");
	}
	/* Its own canonical form: definitions hold texts with newlines. */
	if (r == 0)
		r = json_read_canonical(&answer, b.data, b.len, JUDGE_OUTPUT_MAX, "judge");
	finish(job, r, answer);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct job *job = arg;

	(void)conn;
	(void)why;
	finish(job, REFUSE(REASON_MALFORMED, job->name, "the judge died over it"), NULL);
}

static const struct frame_conn_ops conn_ops = { .frame = on_frame, .closed = on_closed };

static void
on_limit(void *arg)
{
	struct job *job = arg;

	if (job->pid > 0)
		(void)spawn_kill(job->queue->m->spawner, job->pid, SIGKILL, NULL, NULL);
	finish(job,
		REFUSE(REASON_TOO_LARGE, job->name, "the judge took more than %u ms",
			job->queue->m->judge_ms),
		NULL);
}

/* A job may be over before its pid is known: it is looked up by address, never followed blindly. */
struct spawned {
	struct judge_queue *queue;
	struct job *job;
};

static void
on_spawned(int r, pid_t pid, void *arg)
{
	SCOPED(scope_free) struct spawned *s = arg;
	struct judge_queue *q = s->queue;

	q->n_spawning--;
	if (q->closed && q->n_spawning == 0) {
		free(q);
		return;
	}
	for (struct job *job = q->jobs; job; job = job->next) {
		if (job != s->job)
			continue;
		if (r == 0)
			job->pid = pid;
		else
			finish(job, r, NULL);
		return;
	}
}

static int
start_job(struct judge_queue *q, struct job *job)
{
	SCOPED(frame_out_done) struct frame_out out;
	SCOPED(scope_close) int near = -1, far = -1;
	struct spawned *s = calloc(1, sizeof(*s));
	int fds[2] = { -1, -1 };
	int r = frame_pair(fds);

	near = fds[0];
	far = fds[1];
	frame_begin(&out, CALL_TYPE_CALL, 1);
	frame_put_text(&out, CALL_TAG_VERB, judge_kind_text(job->kind));
	frame_put_text(&out, CALL_TAG_TEXT, job->name);
	frame_put_fd(&out, job->in_fd);
	frame_put_fd(&out, job->out_fd);
	r = r ?: s ? 0 : -ENOMEM;
	r = r ?: frame_conn_open(&job->conn, q->m->loop, STEAL_FD(near), &conn_ops, job);
	if (r == 0)
		q->n_running++;
	r = r ?: frame_conn_send(job->conn, &out);
	r = r ?: loop_after(&job->limit, q->m->loop, q->m->judge_ms, on_limit, job);
	if (r == 0) {
		s->queue = q;
		s->job = job;
		r = spawn_worker(q->m->spawner, SPAWN_JUDGE, STEAL_FD(far), on_spawned, s);
	}
	if (r < 0)
		free(s);
	else
		q->n_spawning++;
	return FAULT(r);
}

static void
start_jobs(void *arg)
{
	struct judge_queue *q = arg;
	struct job *job = q->jobs, *next;

	for (; job && q->n_running < JUDGE_RUNNING_MAX; job = next) {
		int r;

		next = job->next;
		if (job->conn)
			continue;
		r = start_job(q, job);
		if (r < 0) {
			finish(job, r, NULL);
			return; /* the rest is tried from the next turn */
		}
	}
}

int
monitor_judge(struct monitor *m, enum judge_kind kind, const char *name, const void *p, size_t len,
	judge_done_fn *done, void *arg)
{
	SCOPED(job_freep) struct job *job = NULL;
	struct judge_queue *q = m->judge;
	struct job **at;
	int r;

	if (len > JUDGE_INPUT_MAX)
		return REFUSE(REASON_TOO_LARGE, name, "%zu bytes, of at most %d", len,
			(int)JUDGE_INPUT_MAX);
	if (!m->spawner || q->n_jobs >= JUDGE_QUEUE_MAX)
		return REFUSE(REASON_BUSY, name, "the judge cannot take more work now");
	job = calloc(1, sizeof(*job));
	if (!job)
		return FAULT(-ENOMEM);
	*job = (struct job){
		.queue = q, .kind = kind, .in_fd = -1, .out_fd = -1, .done = done, .arg = arg
	};
	(void)snprintf(job->name, sizeof(job->name), "%s", name);
	r = fs_memfd(&job->in_fd, "judge", p, len);
	job->out_fd = memfd_create("judge", MFD_CLOEXEC);
	if (r < 0 || job->out_fd < 0)
		return FAULT(r < 0 ? r : -errno);
	r = loop_after(&q->kick, m->loop, 0, start_jobs, q);
	if (r < 0)
		return FAULT(r);
	for (at = &q->jobs; *at; at = &(*at)->next)
		;
	*at = STEAL(job);
	q->n_jobs++;
	return 0;
}

int
judge_queue_new(struct judge_queue **ret, struct monitor *m)
{
	struct judge_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return FAULT(-ENOMEM);
	q->m = m;
	*ret = q;
	return 0;
}

struct judge_queue *
judge_queue_free(struct judge_queue *q)
{
	if (!q)
		return NULL;
	while (q->jobs) {
		struct job *job = q->jobs;

		q->jobs = job->next;
		job_free(job);
	}
	q->kick = loop_cancel(q->kick);
	q->closed = true;
	if (q->n_spawning == 0)
		free(q);
	return NULL;
}
