/* The three sockets of the monitor and the calls that come in by them.  The path decides the role; the peer's
 * uid, and for daemons its pid and start time in the roster, decide whether it may speak at all. */
#pragma once

#include "appliance/monitor/monitor.h"

struct calls;

/* m is borrowed, and has it as m->calls.  Returns 0 or a fault. */
int calls_new(struct calls **ret, struct monitor *m);
/* Close the sockets and every connection; calls that are held end without an answer, and their `gone` does not run. */
struct calls *calls_free(struct calls *c);
/* Bind run/control.sock, run/courier.sock and run/collect.sock, each of the group that may connect.  Calls come from the
 * loop from then on.  Returns 0 or a fault. */
int calls_listen(struct monitor *m);

/* Speak with a peer on take_fd (closed on every path) as if it had come by that role's socket and been let in; its leaves
 * name actor, which is copied.  Returns 0, REASON_BUSY where too many are connected (logged), or a fault. */
int calls_attach(struct monitor *m, enum call_role role, int take_fd, const char *actor);

/* Is anybody of this role connected? */
bool calls_has(const struct calls *c, enum call_role role);
/* Tell all of this role of an event; those who look hear what is told to control.  json is borrowed.  Never blocks: who does
 * not read is closed. */
void calls_push(struct calls *c, enum call_role role, const char *name, const json_t *json);
