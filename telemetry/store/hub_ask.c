#include "telemetry/store/hub_ask.h"

#include <assert.h>
#include <stddef.h>

#include "appliance/base/fault.h"

static const struct hub_ask *way;

void
hub_ask_by(const struct hub_ask *by)
{
	way = by;
}

int
hub_ask_get(struct command_call *call, const char *path, json_t **ret)
{
	assert(way);
	return FAULT(way->get(call, path, ret));
}

int
hub_ask_post(struct command_call *call, const char *path, const json_t *body, json_t **ret)
{
	assert(way);
	return FAULT(way->post(call, path, body, ret));
}
