/* What the monitor asks of the supervisor: run/supervise.sock. */
#pragma once

#include <sys/types.h>

#include "appliance/service/roster.h"

struct supervise;

int requests_open(struct supervise *s);
void requests_close(struct supervise *s);

/* Tell the monitor that a worker or a shim has ended for good. */
void requests_exited(struct supervise *s, enum roster_role role, const char *id, pid_t pid,
	int status);
