#include "appliance/service/spawn_job.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"

struct spawn_job {
	struct spawn_job *
		*slot; /* NULL once it is over: the struct then waits for the spawner alone */
	struct spawner *spawner;
	struct frame_conn *conn;
	struct loop_timer *limit;
	pid_t pid;	/* 0 until the spawner told */
	int signal_due; /* for that pid, once it is known; 0: none */
	bool spawning;	/* the spawner still owes its answer */
	bool hung_up;	/* the worker's end closed before that answer */
	bool unsure;	/* that answer never comes: nobody knows whether there is a worker */
	spawn_job_part_fn *part; /* NULL: the first frame is the answer */
	spawn_job_done_fn *done;
	void *arg;
};

/* Let go of all but what on_spawned() needs. */
static void
let_go(struct spawn_job *j)
{
	if (j->slot)
		*j->slot = NULL;
	j->slot = NULL;
	j->conn = frame_conn_close(j->conn);
	j->limit = loop_cancel(j->limit);
}

struct spawn_job *
spawn_job_forget(struct spawn_job *j)
{
	if (!j)
		return NULL;
	let_go(j);
	if (!j->spawning)
		free(j);
	return NULL;
}

static void
end(struct spawn_job *j, int r, struct frame *answer)
{
	let_go(j);
	j->done(j, r, answer, j->arg);
	if (!j->spawning)
		free(j);
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct spawn_job *j = arg;

	(void)conn;
	if (!j->part || !j->part(j, f, j->arg))
		end(j, 0, f);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct spawn_job *j = arg;

	(void)conn;
	if (why)
		spawn_job_signal(j, SIGKILL);
	/* Perhaps none was started: then it is for the spawner to say why. */
	if (j->spawning)
		j->hung_up = true;
	else if (j->unsure)
		end(j,
			REFUSE(REASON_INTERRUPTED, "mainstay-supervise",
				"went away while it started a worker, and none answers"),
			NULL);
	else
		end(j, -ECONNRESET, NULL);
}

static void
on_limit(void *arg)
{
	spawn_job_signal(arg, SIGKILL);
	end(arg, -ETIMEDOUT, NULL);
}

static void
on_spawned(int r, pid_t pid, void *arg)
{
	struct spawn_job *j = arg;

	j->spawning = false;
	if (r == 0) {
		j->pid = pid;
		if (j->signal_due)
			spawn_job_signal(j, j->signal_due);
	}
	if (!j->slot)
		free(j);
	else if (r == REASON_INTERRUPTED && !j->hung_up)
		j->unsure = true; /* where it was started it answers, else its end of the socket went with the supervisor */
	else if (r)
		end(j, r, NULL);
	else if (j->hung_up)
		end(j, -ECONNRESET, NULL);
}

int
spawn_job_start(struct spawn_job **slot, sd_event *loop, struct spawner *s, enum spawn_kind kind,
	const struct spawn_limits *limits, const struct frame_out *job, unsigned limit_ms, spawn_job_done_fn *done, void *arg)
{
	static const struct frame_conn_ops ops = { .frame = on_frame, .closed = on_closed };
	SCOPED(spawn_job_forgetp) struct spawn_job *j = calloc(1, sizeof(*j));
	SCOPED(scope_close) int near = -1, far = -1;
	int pair[2] = { -1, -1 };
	int r;

	if (!j)
		return FAULT(-ENOMEM);
	j->spawner = s;
	j->done = done;
	j->arg = arg;
	r = frame_pair(pair);
	near = pair[0];
	far = pair[1];
	r = r ?: frame_conn_open(&j->conn, loop, STEAL_FD(near), &ops, j);
	/* The job waits in the socket for the worker that is started next. */
	r = r ?: frame_conn_send(j->conn, job);
	if (r == 0 && limit_ms > 0)
		r = loop_after(&j->limit, loop, limit_ms, on_limit, j);
	r = r ?: spawn_worker(s, kind, limits, STEAL_FD(far), on_spawned, j);
	if (r < 0)
		return FAULT(r);
	j->spawning = true;
	j->slot = slot;
	*slot = STEAL(j);
	return 0;
}

void
spawn_job_parts(struct spawn_job *j, spawn_job_part_fn *part)
{
	j->part = part;
}

void
spawn_job_signal(struct spawn_job *j, int signal)
{
	j->signal_due = j->pid ? 0 : signal;
	/* Where it cannot be asked for, the worker ends with its socket. */
	if (j->pid)
		(void)spawn_kill(j->spawner, j->pid, signal, NULL, NULL);
}
