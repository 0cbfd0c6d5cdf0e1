#include "appliance/monitor/commands.h"

#include <stdio.h>

#include "appliance/bus/call.h"

int
commands_ask(const struct command_call *call, struct call_request *take_request,
	unsigned timeout_ms, json_t **ret_answer)
{
	char path[sizeof(call->paths.run) + 32];

	(void)snprintf(path, sizeof(path), "%s/control.sock", call->paths.run);
	return call_wait(path, take_request, timeout_ms, NULL, NULL, ret_answer);
}

const char *
commands_text(const json_t *obj, const char *name)
{
	const char *text = json_string_value(json_object_get(obj, name));

	return text ? text : "";
}
