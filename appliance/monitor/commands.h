/* The core commands of `mainstay`: status, on, off, enrol, leave, policy, audit, doctor, service. */
#pragma once

#include "appliance/base/command.h"

extern const struct command commands_site[];	/* status on off enrol leave doctor */
extern const struct command commands_policy[];	/* policy check apply explain diff */
extern const struct command commands_audit[];	/* audit log head verify prove */
extern const struct command commands_service[]; /* service list start stop restart set logs */

/* Of commands_site, kept in files of their own. */
extern const struct command_option commands_enrol_options[];
int commands_enrol(struct command_call *call);
int commands_doctor(struct command_call *call);

/* A text member of a JSON object; "" where there is none. */
const char *commands_text(const json_t *obj, const char *name);

/* Call a verb of the monitor that runs under call->paths and wait for its answer, at most timeout_ms (0: for
 * ever).  take_request is consumed.  As call_wait(). */
struct call_request;
int commands_ask(const struct command_call *call, struct call_request *take_request,
	unsigned timeout_ms, json_t **ret_answer);
