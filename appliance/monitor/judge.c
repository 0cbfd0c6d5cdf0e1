#include "appliance/monitor/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_request.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/service/spawn_job.h"

/* A document that kills its reader does so each time; somebody else's SIGKILL, or that of a machine short of memory, does not.  A supervisor that went away is there again
 * within a second or two. */
enum { DEATHS_MAX = 2, WAITS_MAX = 12, WAIT_MS = 250 };

struct job {
	struct judge_queue *queue;
	enum judge_kind kind;
	char name[256];
	int in_fd, out_fd;
	struct spawn_job *worker; /* NULL while it waits */
	bool running;
	unsigned deaths, waits;
	struct loop_timer *again; /* it runs anew when this is over */
	judge_done_fn *done;
	void *arg;
	struct job *next;
};

struct judge_queue {
	struct monitor *m;
	struct job *jobs; /* in order of arrival; the first ones run */
	size_t n_jobs, n_running;
	struct loop_timer *kick;
};

static void start_jobs(void *arg);
static int start_job(struct judge_queue *q, struct job *job);

static struct job *
job_free(struct job *job)
{
	if (!job)
		return NULL;
	scope_close(&job->in_fd);
	scope_close(&job->out_fd);
	job->worker = spawn_job_forget(job->worker);
	job->again = loop_cancel(job->again);
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
	if (job->running)
		q->n_running--;
	job_free(job);
	(void)loop_after(&q->kick, q->m->loop, 0, start_jobs, q);
	done(r, answer, arg);
}

/* What the worker wrote, in the file that it was handed. */
static int
read_answer(struct job *job, struct frame *f, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(JUDGE_OUTPUT_MAX);
	SCOPED_JSON *none = NULL;
	int r = call_request_answer(f, &none);

	if (r == 0) {
		r = fs_read_fd(job->out_fd, JUDGE_OUTPUT_MAX, &b);
		if (r > 0)
			r = REFUSE(r, job->name, "what the judge wrote cannot be read");
	}
	/* Its own canonical form: definitions hold texts with newlines. */
	if (r == 0)
		r = json_read_canonical(ret, b.data, b.len, JUDGE_OUTPUT_MAX, "judge");
	return r;
}

static void
on_again(void *arg)
{
	struct job *job = arg;
	struct judge_queue *q = job->queue;
	int r = 0;

	job->running = false;
	q->n_running--;
	/* What the one that died has written of an answer. */
	if (ftruncate(job->out_fd, 0) < 0 || lseek(job->out_fd, 0, SEEK_SET) < 0 || lseek(job->in_fd, 0, SEEK_SET) < 0)
		r = FAULT(-errno);
	r = r ?: start_job(q, job);
	if (r < 0)
		finish(job, r, NULL);
}

/* Judging changes nothing but what it is handed: where the worker, or who was to start it, was killed, another one does it.
 * Returns 1 where that begins, 0 where not, or a fault. */
static int
try_again(struct job *job, int r)
{
	bool died = r == -ECONNRESET && job->deaths++ < DEATHS_MAX,
	     away = (r == REASON_INTERRUPTED || r == REASON_UNREACHABLE) && job->waits++ < WAITS_MAX;

	if (!died && !away)
		return 0;
	r = loop_after(&job->again, job->queue->m->loop, died ? 0 : WAIT_MS, on_again, job);
	return r < 0 ? FAULT(r) : 1;
}

static void
on_done(struct spawn_job *worker, int r, struct frame *f, void *arg)
{
	SCOPED_JSON *answer = NULL;
	struct job *job = arg;
	int again = f ? 0 : try_again(job, r);

	(void)worker;
	if (again > 0)
		return;
	r = again ?: r;
	if (r == 0)
		r = read_answer(job, f, &answer);
	else if (r == -ECONNRESET)
		r = REFUSE(REASON_MALFORMED, job->name, "the judge died over it");
	else if (r == -ETIMEDOUT)
		r = REFUSE(REASON_TOO_LARGE, job->name, "the judge took more than %u ms",
			job->queue->m->judge_ms);
	finish(job, r, answer);
}

static int
start_job(struct judge_queue *q, struct job *job)
{
	SCOPED(frame_out_done) struct frame_out out;
	int r;

	frame_begin(&out, CALL_TYPE_CALL, 1);
	frame_put_text(&out, CALL_TAG_VERB, judge_kind_text(job->kind));
	frame_put_text(&out, CALL_TAG_TEXT, job->name);
	frame_put_fd(&out, job->in_fd);
	frame_put_fd(&out, job->out_fd);
	r = spawn_job_start(&job->worker, q->m->loop, q->m->spawner, SPAWN_JUDGE, NULL, &out,
		q->m->judge_ms, on_done, job);
	if (r < 0)
		return FAULT(r);
	job->running = true;
	q->n_running++;
	return 0;
}

static void
start_jobs(void *arg)
{
	struct judge_queue *q = arg;
	struct job *job = q->jobs, *next;

	for (; job && q->n_running < JUDGE_RUNNING_MAX; job = next) {
		int r;

		next = job->next;
		if (job->running)
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
	free(q);
	return NULL;
}
