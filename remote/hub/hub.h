/* The hub, assembled: the run of service and front on one state folder. */
#pragma once

#include "appliance/serve/serve.h"

/* Run until SIGTERM or SIGINT: prints the URL on stdout, writes "READY\n" to ready_fd (-1: not) once front and
 * socket answer.  Returns 0; REASON_CONFLICT (logged) where another hub runs on this state, or where its port is
 * taken; REASON_NOT_FOUND where it is no hub's folder; or a fault. */
int hub_run(const char *state, const struct serve_module *const *modules, int ready_fd);
