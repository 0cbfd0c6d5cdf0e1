/* The core commands of `mainstay`: status, on, off, enrol, leave, policy, audit, doctor, service. */
#pragma once

#include "appliance/base/command.h"

extern const struct command commands_site[];    /* status on off leave doctor */
extern const struct command commands_enrol[];   /* enrol */
extern const struct command commands_policy[];  /* policy check apply explain diff */
extern const struct command commands_audit[];   /* audit log head verify prove */
extern const struct command commands_service[]; /* service list start stop restart set logs */

/* Call a verb of the monitor that runs under call->paths and wait for its answer, at most timeout_ms (0: for
 * ever).  take_request is consumed.  As call_wait(). */
struct call_request;
int commands_ask(const struct command_call *call, struct call_request *take_request,
	unsigned timeout_ms, json_t **ret_answer);
