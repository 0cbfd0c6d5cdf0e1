/* What the monitor asks of the supervisor: run/supervise.sock. */
#pragma once

#include <sys/types.h>

#include "appliance/service/roster.h"

struct supervise;

/* Bind the socket, and take one monitor at a time (uid, pid and start time as the roster says).  Returns 0 or a fault. */
int requests_open(struct supervise *s);
/* Close it; what the monitor still waits for stays without an answer. */
void requests_close(struct supervise *s);

/* Tell the monitor that a worker or a shim has ended for good. */
void requests_exited(struct supervise *s, enum roster_role role, const char *id, pid_t pid,
	int status);
