/* The three sockets of the monitor and the calls that come in by them.  The path decides the role; the peer's
 * uid, and for daemons its pid and start time in the roster, decide whether it may speak at all. */
#pragma once

#include "appliance/monitor/monitor.h"

struct calls;

int calls_new(struct calls **ret, struct monitor *m);
struct calls *calls_free(struct calls *c);
/* Bind run/control.sock, run/courier.sock and run/collect.sock. */
int calls_listen(struct monitor *m);

/* Speak with a peer on take_fd as if it had come by that role's socket and been let in. */
int calls_attach(struct monitor *m, enum call_role role, int take_fd, const char *actor);

bool calls_has(const struct calls *c, enum call_role role);
void calls_push(struct calls *c, enum call_role role, const char *name, const json_t *json);
