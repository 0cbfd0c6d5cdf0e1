/* mainstay enrol --rotate: another site key, over the network or by file (appliance/enrol/rotate.h). */
#pragma once

struct command_call;

int commands_rotate(struct command_call *call);
