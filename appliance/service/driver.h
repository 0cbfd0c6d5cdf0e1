/* A driver is how a service runs at a place: here as a process under a shim.  Steps are
 * asynchronous and idempotent: starting what runs and stopping what is stopped are done at once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct driver;
struct paths;
struct spawner;
struct spec;

enum { DRIVER_STOP_S = 90 }; /* what a stop is given: longer than any grace a shim gives twice */

/* r: 0 when the state was reached; REASON_BUSY another step of that service runs;
 * REASON_STATE_MOVED it did not get there in time or failed on the way (logged, with the service's
 * state); what spawn_done_fn gives; or a fault. */
typedef void driver_done_fn(int r, void *arg);

struct driver_ops {
	int (*start)(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg);
	int (*stop)(struct driver *d, const char *service, driver_done_fn *done, void *arg);
	int (*restart)(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg);
	int (*reload)(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg);
	bool (*give_up)(struct driver *d, const char *service);
	struct driver *(*free)(struct driver *d);
};

struct driver {
	const struct driver_ops *ops;
};

/* The driver for processes on this host.  spawner and paths are borrowed and
 * outlive it; after driver_free() the spawner is freed before the loop turns again.  It is the spawner's listener: a step whose
 * shim ended looks at once. */
int driver_process_new(struct driver **ret, sd_event *loop, const struct paths *paths,
	struct spawner *spawner);

/* Start: done when the shim says running (or health passing where spec has a health check), within
 * the spec's start time.  One that runs and whose state says lost_secrets is brought the spec's, and runs on.  One whose
 * shim is going down is started once that is gone, within its start time from then.
 * spec is borrowed for the call only.  done runs exactly once, later, from
 * the loop, unless this returns a fault. */
int driver_start(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg);
int driver_stop(struct driver *d, const char *service, driver_done_fn *done, void *arg);
/* Stop, then start with this spec (copied; of its secrets the descriptors). */
int driver_restart(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg);
/* Have the running service take up what changed in its configuration files, as spec's reload says (a
 * spec that differs in more wants a restart): done when it did, and its health has passed after it
 * where spec has a health check.  r beyond the above: REASON_CONFLICT spec has no reload, or the
 * service is not running. */
int driver_reload(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg);
/* A start, restart or reload of the service that is under way ends now, REASON_INTERRUPTED (logged): its done has run when
 * this returns, and a stop that is asked for next is not refused as busy.  Returns whether there was one. */
bool driver_give_up(struct driver *d, const char *service);
struct driver *driver_free(struct driver *d);
