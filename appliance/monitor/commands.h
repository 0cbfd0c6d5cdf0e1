/* The core commands of `mainstay`: status, on, off, enrol, leave, policy, audit, doctor, service. */
#pragma once

#include "appliance/base/command.h"

extern const struct command commands_site[];	/* status on off enrol leave doctor */
extern const struct command commands_policy[];	/* policy check apply explain diff */
extern const struct command commands_witness[]; /* audit policy cosign */
extern const struct command commands_audit[];	/* audit log head verify prove */
extern const struct command commands_service[]; /* service list start stop restart set logs */

/* Of commands_site, kept in files of their own. */
extern const struct command_option commands_enrol_options[];
int commands_enrol(struct command_call *call);
extern const struct command_option commands_leave_options[];
int commands_leave(struct command_call *call);
extern const struct command_option commands_doctor_options[];
int commands_doctor(struct command_call *call);
