/* The body of spawn.h that asks systemd: each worker and each shim is a transient unit of PID 1's. */
#pragma once

#include <systemd/sd-event.h>

struct paths;
struct spawner;

#define SPAWN_SYSTEMD_ADDRESS "unix:path=/run/systemd/private"

/* address: of sd-bus, straight to PID 1 (SPAWN_SYSTEMD_ADDRESS).  Connects in the background, and anew where PID 1 was
 * executed anew; calls made before wait for it (at most ten seconds, then REASON_UNREACHABLE).  Finds the shims that run
 * already, and keeps run/supervise/roster as PID 1 tells.  Programs are started from the folder of this one.  REASON_BUSY
 * and REASON_CONFLICT are said as mainstay-supervise says them; a worker's end is told with its status. */
int spawn_systemd_new(struct spawner **ret, sd_event *loop, const struct paths *paths, const char *address);
