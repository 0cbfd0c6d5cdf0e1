/* How a command of `mainstay` asks the monitor: call_wait() on the control socket of call->paths. */
#pragma once

#include "appliance/base/command.h"
#include "appliance/bus/call.h"

/* Call a verb and wait for its answer, at most timeout_ms (0: for ever).  take_request is consumed.  Returns as
 * call_wait(). */
int ask_monitor(const struct command_call *call, struct call_request *take_request,
	unsigned timeout_ms, json_t **ret_answer);

/* The same for a verb that tells its progress; each line reaches progress with call as its argument. */
int ask_monitor_telling(struct command_call *call, struct call_request *take_request,
	unsigned timeout_ms, call_progress_fn *progress, json_t **ret_answer);
