/* One job of one worker: a frame goes into a pair of sockets whose other end becomes the worker's descriptor 3, and
 * one frame comes back, or several. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/service/spawn.h"

struct frame;
struct frame_out;
struct spawn_job;

/* How it ended: 0 with what the worker answered, lent for the time of the call and as hostile as what the worker read;
 * what spawn_done_fn says where none was started; REASON_INTERRUPTED where nobody knows whether one was, and none
 * answered; -ECONNRESET where it died, or spoke no frames and was killed;
 * -ETIMEDOUT where it took too long and was killed.  j may still be signalled within the call. */
typedef void spawn_job_done_fn(struct spawn_job *j, int r, struct frame *answer, void *arg);

/* Start a worker of kind with job (copied; its descriptors stay the caller's).  done runs exactly once, later, from
 * the loop, with *slot NULL again, unless spawn_job_forget() came first.  limits: spawn.h.  limit_ms 0: as long as it likes.  loop is
 * referenced; s outlives the answers it owes.
 * Returns 0 or a fault (-EMSGSIZE: the job is too large for a frame); done does not run then. */
int spawn_job_start(struct spawn_job **slot, sd_event *loop, struct spawner *s,
	enum spawn_kind kind, const struct spawn_limits *limits, const struct frame_out *job, unsigned limit_ms,
	spawn_job_done_fn *done, void *arg);

/* A frame that came before the last one, lent for the time of the call: true where it was taken and more is to come,
 * false where it is the answer after all.  j may be signalled, but not forgotten. */
typedef bool spawn_job_part_fn(struct spawn_job *j, struct frame *part, void *arg);

/* Each frame goes to part first (arg: that of done). */
void spawn_job_parts(struct spawn_job *j, spawn_job_part_fn *part);

/* Signal the worker: now, or once it is known which process it is.  The last one asked for counts. */
void spawn_job_signal(struct spawn_job *j, int signal);

/* done will not run; the worker finds its socket closed. */
struct spawn_job *spawn_job_forget(struct spawn_job *j);

SCOPED_DESTRUCTOR(struct spawn_job, spawn_job_forget)
