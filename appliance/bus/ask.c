#include "appliance/bus/ask.h"

#include <stdio.h>

static int
ask(const struct command_call *call, struct call_request *take_request, unsigned timeout_ms,
	call_progress_fn *progress, void *arg, json_t **ret_answer)
{
	char path[sizeof(call->paths.run) + 32];

	(void)snprintf(path, sizeof(path), "%s/control.sock", call->paths.run);
	return call_wait(path, take_request, timeout_ms, progress, arg, ret_answer);
}

int
ask_monitor(const struct command_call *call, struct call_request *take_request, unsigned timeout_ms,
	json_t **ret_answer)
{
	return ask(call, take_request, timeout_ms, NULL, NULL, ret_answer);
}

int
ask_monitor_telling(struct command_call *call, struct call_request *take_request,
	unsigned timeout_ms, call_progress_fn *progress, json_t **ret_answer)
{
	return ask(call, take_request, timeout_ms, progress, call, ret_answer);
}
