/* What an engineer orders: from the words SITE SERVICE OPERATION ARG=V... to the signed request. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/trust/message.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/request/request.h"

struct command_call;
struct definition;
struct definition_operation;

struct desk_order {
	struct desk d;
	struct desk_site site;
	struct definition *definition;		      /* owned */
	const struct definition_operation *operation; /* borrowed from definition */
	json_t *args;				      /* as typed; owned */
	struct request request;			      /* borrows from all of these */
	char id[REQUEST_ID_MAX + 1];
};
#define DESK_ORDER_NONE { .d = { .dir_fd = -1, .login_fd = -1 } }
void desk_order_done(struct desk_order *o);

/* The operation of that name; REASON_NOT_FOUND (logged, naming the nearest) where there is none.  *ret is the definition's. */
int desk_order_operation(
	const struct definition *definition, const char *name, const struct definition_operation **ret);

/* Open the session, verify the site, find the operation in the definition of the release that its statement names,
 * check the arguments, make the request: good for life_us from now.  Blocks.  Returns 0; REASON_USAGE, REASON_NOT_FOUND,
 * REASON_MALFORMED (logged); what session, trust and definition refuse; or a fault. */
int desk_order_make(struct desk_order *o, struct command_call *call, uint64_t life_us);

/* Sign it as what it is to be: MESSAGE_REQUEST or MESSAGE_DRY_RUN.  *ret is the caller's; request.digest is set. */
int desk_order_seal(struct desk_order *o, enum message type, json_t **ret);

/* What would be asked for, as far as this desk can tell: the definition's words, not the site's. */
json_t *desk_order_json(const struct desk_order *o);
void desk_order_say(const struct desk_order *o);
