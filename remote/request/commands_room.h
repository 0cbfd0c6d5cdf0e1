/* What the files of `mainstay requests …` share; nobody else includes it.
 *
 *	commands.c          the table
 *	commands_show.c     what is here: list, show, watch; and what comes as a file
 *	commands_approve.c  what a person decides: approve, deny, narrow; standing permits */
#pragma once

#include <jansson.h>

#include "appliance/base/command.h"

struct call_request;

enum { REQUEST_COMMAND_MS = 30 * 1000 }; /* for the monitor's answer */

/* --- commands_show.c -------------------------------------------------------------------------- */
int request_command_list(struct command_call *call);
int request_command_show(struct command_call *call);
int request_command_watch(struct command_call *call);
int request_command_import(struct command_call *call);

/* Ask, and take "item" out of the answer: the caller's.  Returns ask_monitor()'s. */
int request_command_ask(struct command_call *call, struct call_request *take_request, json_t **ret_item);
/* A line for people. */
void request_command_say(const struct command_call *call, const json_t *item);
/* That line, or the item as JSON. */
int request_command_print(struct command_call *call, json_t *take_item);
/* --uses and --for: what makes a permit a standing one.  REASON_USAGE (logged) where they say nothing. */
int request_command_terms(const struct command_call *call, struct call_request *request);

/* --- commands_approve.c ----------------------------------------------------------------------- */
int request_command_approve(struct command_call *call);
int request_command_deny(struct command_call *call);
int request_command_narrow(struct command_call *call);
int request_command_permits(struct command_call *call);
int request_command_revoke(struct command_call *call);
