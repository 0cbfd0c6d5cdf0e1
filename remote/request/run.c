#include "remote/request/run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/number.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/service/spawn_job.h"
#include "remote/operate/job.h"

enum {
	GRACE_MS = 5000,  /* between asking the worker to end and killing it */
	SLACK_MS = 15000, /* over the job's own time limit, which the worker keeps */
};

struct request_run {
	sd_event *loop; /* referenced */
	struct spawn_job *worker;
	uint64_t room;      /* bytes of output that may still come */
	uint64_t memory;    /* the job's limits, for saying that they were reached */
	uint32_t timeout_ms, output, processes;
	struct buf out, err; /* as they came, so far as a result has room for them */
	bool cancelled;
	struct loop_timer *timer;
	struct request_run_end end;
	const struct request_run_ops *ops;
	void *arg;
};

/* One byte more than a result holds, so that what is missing shows. */
enum { KEEP_MAX = REQUEST_OUTPUT_MAX + 1, LIMITS_TEXT_MAX = 1024 };

static int
to_text(const struct buf *raw, struct buf *text, bool *truncated)
{
	if (request_result_text(text, raw->data, raw->len, REQUEST_OUTPUT_MAX))
		*truncated = true;
	return buf_error(raw) ?: buf_error(text);
}

/* A line for each limit that was reached, as if the operation had said so at last: in the result, and to whoever listens. */
static void
name_limits(struct request_run *run, unsigned reached)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(LIMITS_TEXT_MAX);
	char size[NUMBER_SIZE_MAX];
	struct buf *err = &run->err;

	if (run->end.outcome == REQUEST_OUTCOME_TIMEOUT)
		buf_printf(&text, "mainstay: ended: its time of %u ms was over\n", run->timeout_ms);
	if (reached & OPERATE_LIMIT_MEMORY)
		buf_printf(&text, "mainstay: reached its limit of %s of memory\n", number_size_text(size, run->memory));
	if (reached & OPERATE_LIMIT_PROCESSES)
		buf_printf(&text, "mainstay: reached its limit of %u processes\n", run->processes);
	if (reached & OPERATE_LIMIT_CPU)
		buf_puts(&text, "mainstay: reached its limit of one processor's time\n");
	if (reached & OPERATE_LIMIT_UNTOLD)
		buf_printf(&text, "mainstay: perhaps reached its limit of %s of memory or %u processes: without control groups this host "
				  "cannot tell\n",
			number_size_text(size, run->memory), run->processes);
	if (run->end.truncated)
		buf_printf(&text, "mainstay: reached its limit of %s of output; the rest is not kept\n", number_size_text(size, run->output));
	if (text.len == 0 || buf_error(&text))
		return;
	if (err->len > KEEP_MAX - text.len) { /* what there was is cut, for this to be read */
		err->len = KEEP_MAX - text.len;
		run->end.truncated = true;
	}
	buf_put(err, text.data, text.len);
	if (run->ops->output)
		run->ops->output(OPERATE_STDERR, text.data, text.len, run->arg);
}

static void
finish(struct request_run *run, int r)
{
	run->worker = spawn_job_forget(run->worker);
	run->timer = loop_cancel(run->timer);
	if (r == 0)
		r = to_text(&run->out, &run->end.out, &run->end.truncated);
	if (r == 0)
		r = to_text(&run->err, &run->end.err, &run->end.truncated);
	run->end.r = r;
	run->ops->done(&run->end, run->arg);
}

/* The worker is gone without an answer: nobody knows how far the operation came. */
static void
finish_unknown(struct request_run *run)
{
	run->end.outcome = run->cancelled ? REQUEST_OUTCOME_CANCELLED : REQUEST_OUTCOME_INTERRUPTED;
	run->end.reason = REASON_INTERRUPTED;
	run->end.exit_status = -1;
	finish(run, 0);
}

/* What it says is not to be believed, and neither is what it may still do. */
static void
finish_malformed(struct request_run *run)
{
	run->end.outcome = REQUEST_OUTCOME_FAILED;
	run->end.reason = REASON_MALFORMED;
	run->end.exit_status = -1;
	finish(run, 0);
}

static void
keep(struct buf *raw, const struct operate_output *o)
{
	size_t room = KEEP_MAX - raw->len;

	buf_put(raw, o->bytes, o->len < room ? o->len : room);
}

/* Part of the output: false where it is none, or more than there may be. */
static bool
on_part(struct spawn_job *worker, struct frame *f, void *arg)
{
	struct request_run *run = arg;
	struct operate_output o;

	(void)worker;
	if (f->type != OPERATE_OUTPUT || operate_output_take(f, &o) != 0 || o.len > run->room)
		return false;
	run->room -= o.len;
	keep(o.stream == OPERATE_STDOUT ? &run->out : &run->err, &o);
	if (run->ops->output)
		run->ops->output((int)o.stream, o.bytes, o.len, run->arg);
	return true;
}

static void
take_result(struct request_run *run, const struct operate_result *from)
{
	static const enum request_outcome outcomes[] = {
		[OPERATE_OK] = REQUEST_OUTCOME_OK,
		[OPERATE_FAILED] = REQUEST_OUTCOME_FAILED,
		[OPERATE_TIMEOUT] = REQUEST_OUTCOME_TIMEOUT,
		[OPERATE_CANCELLED] = REQUEST_OUTCOME_CANCELLED,
	};

	run->end.outcome = outcomes[from->outcome];
	run->end.exit_status = from->exit_status;
	run->end.signal = from->signal;
	run->end.truncated = from->truncated;
	run->end.cpu_ms = from->cpu_ms;
	run->end.max_rss = from->max_rss;
	run->end.wall_ms = from->wall_ms;
	name_limits(run, from->limits);
}

static void
on_answer(struct spawn_job *worker, int r, struct frame *f, void *arg)
{
	struct request_run *run = arg;
	struct operate_result result = { 0 };

	if (r == 0) {
		r = operate_answer_take(f, &result);
		if (r == REASON_MALFORMED) {
			spawn_job_signal(worker, SIGKILL);
			finish_malformed(run);
			return;
		}
	}
	if (r == -ECONNRESET || (r == REASON_INTERRUPTED && !f)) {
		finish_unknown(run);
		return;
	}
	if (r == 0)
		take_result(run, &result);
	finish(run, r);
}

static void
kill_worker(struct request_run *run)
{
	if (run->worker)
		spawn_job_signal(run->worker, SIGKILL);
}

static void
on_killed(void *arg)
{
	struct request_run *run = arg;

	kill_worker(run);
	finish_unknown(run);
}

static void
ask_to_end(struct request_run *run)
{
	spawn_job_signal(run->worker, SIGTERM);
	if (loop_after(&run->timer, run->loop, GRACE_MS, on_killed, run) < 0)
		on_killed(run);
}

static void
on_overdue(void *arg)
{
	ask_to_end(arg);
}

SCOPED_DESTRUCTOR(struct request_run, request_run_free)

int
request_run_start(struct request_run **ret, sd_event *loop, struct spawner *spawner,
	const struct operate_job *job, const struct request_run_ops *ops, void *arg)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(request_run_freep) struct request_run *run = calloc(1, sizeof(*run));
	const struct spawn_limits limits = { .memory = job->memory,
		.processes = job->processes + OPERATE_OURS,
		.cpu_milli = OPERATE_CPU_MILLI };
	int r;

	if (!run)
		return FAULT(-ENOMEM);
	run->loop = sd_event_ref(loop);
	run->room = run->output = job->output;
	run->memory = job->memory;
	run->timeout_ms = job->timeout_ms;
	run->processes = job->processes;
	run->out = run->err = BUF_MAX(KEEP_MAX);
	run->end.out = run->end.err = BUF_MAX(REQUEST_OUTPUT_MAX);
	run->ops = ops;
	run->arg = arg;
	r = operate_job_put(&out, job);
	r = r ?: loop_after(&run->timer, loop, job->timeout_ms + SLACK_MS, on_overdue, run);
	r = r
		?: spawn_job_start(&run->worker, loop, spawner, SPAWN_OPERATE, &limits, &out, 0,
			   on_answer, run);
	if (r)
		return r;
	spawn_job_parts(run->worker, on_part);
	*ret = STEAL(run);
	return 0;
}

void
request_run_cancel(struct request_run *run)
{
	if (run->cancelled)
		return;
	run->cancelled = true;
	if (run->worker)
		ask_to_end(run);
}

struct request_run *
request_run_free(struct request_run *run)
{
	if (!run)
		return NULL;
	kill_worker(run);
	spawn_job_forget(run->worker);
	loop_cancel(run->timer);
	buf_done(&run->out);
	buf_done(&run->err);
	buf_done(&run->end.out);
	buf_done(&run->end.err);
	sd_event_unref(run->loop);
	free(run);
	return NULL;
}
