/* Which kinds of messages a person signs: what message.h says of each, as a table. */
#pragma once

#include <stdbool.h>

#include "appliance/trust/message.h"

static inline bool
message_by_person(enum message m)
{
	static const bool person[MESSAGE_MAX] = {
		[MESSAGE_REQUEST] = true,
		[MESSAGE_PERMIT] = true,
		[MESSAGE_OWNER] = true,
		[MESSAGE_SITE] = true,
		[MESSAGE_LOGIN] = true,
		[MESSAGE_ROLLOUT] = true,
		[MESSAGE_DRY_RUN] = true,
		[MESSAGE_CANCEL] = true,
	};

	return person[m];
}
