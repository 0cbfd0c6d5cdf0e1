/* One health probe at a time: asks the service and says how it went. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/service/spec.h"

struct boxed;

enum probe_result { PROBE_PASSED, PROBE_ERROR, PROBE_SILENT };

struct probe;
typedef void probe_fn(enum probe_result result, void *arg);

/* A prober for boxed's service (borrowed), whose spec's health is not none.  SILENT: nothing that could be judged came
 * in time.  A socket is looked for in the service's run folder alone: no link there leads elsewhere. */
int probe_new(struct probe **ret, sd_event *loop, const struct boxed *boxed, probe_fn *fn,
	void *arg);
/* Probe; fn runs exactly once, later, from the loop, unless cancelled.  A probe that runs is left
 * alone. */
void probe_start(struct probe *p);
bool probe_runs(const struct probe *p);
void probe_cancel(struct probe *p);
struct probe *probe_free(struct probe *p);
SCOPED_DESTRUCTOR(struct probe, probe_free)
