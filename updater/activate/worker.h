/* Both ends of mainstay-activate's job (activate_wire.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "updater/activate/stage.h"

struct monitor;

/* --- the worker ---------------------------------------------------------------------------------------------- */
/* Take one job from job_fd, do it, answer.  Returns the exit code. */
int worker_main(int job_fd);

/* --- the monitor's side --------------------------------------------------------------------------------------- */
struct worker;

/* r: 0 with the result; the worker's refusal, or the spawner's where none was started (relayed, refuse_last()); or a
 * fault: it died, lied, or took longer than ACTIVATE_TIME_MAX_S and was killed. */
typedef void worker_done_fn(int r, const struct stage_result *result, void *arg);

/* Stage the release whose verified index has these bytes (copied).  done runs exactly once, later, from the loop,
 * unless worker_cancel() came first; *slot is NULL again before.  Returns 0 or a fault (done does not run). */
int worker_stage(struct worker **slot, struct monitor *m, const void *index, size_t len,
	worker_done_fn *done, void *arg);
/* The same for the removal of a tree of the store, with its index and definition; hex is 64 digits. */
int worker_remove(struct worker **slot, struct monitor *m, const char *hex, worker_done_fn *done, void *arg);
struct worker *worker_cancel(struct worker *w);
