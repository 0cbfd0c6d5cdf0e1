/* The spawner that asks mainstay-supervise, from within; nobody else includes it.
 *
 *	spawn_supervise.c       what is asked of it
 *	spawn_supervise_call.c  calls, their answers, the connection */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/bus/frame.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn.h"
#include "appliance/supervise/supervise_wire.h"

enum { SPAWN_PATH_MAX = 300 };

/* One call: waiting for the connection (frame kept), or for its answer. */
struct spawn_call {
	struct spawn_call *next;
	struct spawn_asker *owner;
	uint32_t id;
	bool sent;
	uint16_t type;
	uint64_t kind, pid, signal;
	uint64_t memory, processes, cpu_milli, port;
	char name[ROSTER_ID_MAX + 1];
	char address[SUPERVISE_ADDRESS_MAX + 1];
	int fds[FRAME_FDS_MAX]; /* owned until it is sent */
	size_t n_fds;
	struct loop_timer *late;
	spawn_done_fn *done;
	void *arg;
};

struct spawn_asker {
	struct spawner base;
	sd_event *loop;
	char path[SPAWN_PATH_MAX];
	struct frame_conn *conn;
	struct loop_timer *retry;
	unsigned tries;
	uint32_t next_id;
	struct spawn_call *calls; /* in the order they were made */
	size_t n_calls;
};

/* Make a call: a copy of take, whose descriptors are the call's or, where there is a fault, closed; its done() runs once,
 * later.  Without a connection it waits for one.  Returns 0 or a fault (-EAGAIN: too many wait). */
int spawn_supervise_call(struct spawn_asker *a, struct spawn_call *take);
/* Close the descriptors of a call that is not made. */
void spawn_supervise_drop(struct spawn_call *c);

/* Connect, soon; again and again until it can be had. */
void spawn_supervise_connect(struct spawn_asker *a);
/* Leave: calls that wait are forgotten, and nobody is told. */
void spawn_supervise_disconnect(struct spawn_asker *a);
