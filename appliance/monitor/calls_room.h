/* A call from within: what calls.c and call_params.c share. */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/calls.h"

struct peer {
	struct calls *calls;
	struct frame_conn *conn; /* NULL once it left; then only held calls keep the struct */
	enum call_role role;
	char actor[32];
	unsigned n_calls;
	struct peer *next;
};

struct monitor_call {
	struct monitor *m;
	struct peer *peer; /* NULL: a call from inside */
	uint32_t id;
	enum call_role role;
	struct frame frame;   /* owned: parameters borrow from it */
	struct buf body;      /* of a body that came as a descriptor */
	const json_t *params; /* of a call from inside */
	json_t *params_ref;
	bool held, answered;
	bool running; /* its verb's function is on the stack */
	monitor_gone_fn *gone;
	void *gone_arg;
	monitor_done_fn *done;
	void *done_arg;
	struct monitor_call *next;
};

struct calls {
	struct monitor *m;
	struct frame_server *servers[3];
	struct peer *peers;
	size_t n_peers;
	struct monitor_call *held;
	size_t n_held;
};
