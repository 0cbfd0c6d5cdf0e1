/* A program inside the release's sandbox as the health check: one at a time, killed for certain. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/service/spec.h"

struct probe_exec;
typedef void probe_exec_fn(bool passed, void *arg);

/* For spec (borrowed), whose health is exec. */
int probe_exec_new(struct probe_exec **ret, sd_event *loop, const struct spec *spec,
	probe_exec_fn *fn, void *arg);
/* Run it; fn runs once, later, from the loop, when it has ended, unless cancelled.  Returns 0;
 * REASON_BUSY (unlogged) where the one before is still being killed; what sandbox_end() refuses; or a
 * fault. */
int probe_exec_start(struct probe_exec *p);
/* Kill it; fn does not run.  It is gone a moment later. */
void probe_exec_cancel(struct probe_exec *p);
struct probe_exec *probe_exec_free(struct probe_exec *p);
SCOPED_DESTRUCTOR(struct probe_exec, probe_exec_free)
