/* One run of an operation with argv: the worker mainstay-operate, its job and its answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "remote/request/result.h"

struct operate_job;
struct request_run;
struct spawner;

/* How it ended. */
struct request_run_end {
	int r; /* 0; else nothing has run: a reason (see refuse_last()) or a fault */
	enum request_outcome outcome;
	enum reason reason; /* why, where the exit status does not say it */
	int exit_status;    /* -1: nothing exited */
	int signal;
	bool truncated;
	uint64_t cpu_ms, max_rss, wall_ms;
	struct buf out, err; /* as text (request_result_text); err ends with which limits were reached; owned by the run */
};

struct request_run_ops {
	/* What it wrote (1: stdout, 2: stderr), as it comes: len bytes of whatever, secrets masked, lent
	 * for the time of the call; in all at most the job's output.  NULL: nobody listens. */
	void (*output)(int stream, const void *p, size_t len, void *arg);
	/* end is the run's, which may be freed within the call. */
	void (*done)(const struct request_run_end *end, void *arg);
};

/* Start job (copied; ops borrowed).  done runs exactly once, later, from the loop, unless this
 * returns a fault or request_run_free() came first; no output comes after it.  A worker that sends
 * more than the job's output, or what is no frame of it, is killed: failed, malformed. */
int request_run_start(struct request_run **ret, sd_event *loop, struct spawner *spawner,
	const struct operate_job *job, const struct request_run_ops *ops, void *arg);

/* End it: the worker is asked, then killed.  done will say cancelled, or how it ended before
 * that. */
void request_run_cancel(struct request_run *run);

/* Forget it; a worker that still runs is killed. */
struct request_run *request_run_free(struct request_run *run);
