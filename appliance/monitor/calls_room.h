/* Calls from within; nobody else includes it.
 *
 *	calls.c        sockets and who is at their other end
 *	calls_run.c    one call, from its frame or from within, to its answer
 *	call_params.c  what a verb reads of its call */
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
	uint64_t wanting; /* json_wanting() when it began */
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

/* Ends the struct once its connection is closed and none of its calls is left. */
void calls_drop_peer(struct peer *p);

/* Run the call of this frame, if it is one; its memory and descriptors are taken out of f.  Malformed and unknown ones
 * are answered with their refusal. */
void calls_run_frame(struct peer *p, struct frame *f);
/* End a call that nobody will answer any more, or whose answer is given. */
void calls_run_free(struct monitor_call *call);
/* Send name and json, by memory file where they are long; does nothing once the peer has left. */
void calls_run_send(struct peer *p, enum call_type type, uint32_t id, const char *name, const json_t *json);
