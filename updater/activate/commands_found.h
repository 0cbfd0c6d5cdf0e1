/* What `mainstay update check` found, for people. */
#pragma once

#include <jansson.h>

struct command_call;

/* The answer of update.check (update_found.h). */
void commands_say_found(struct command_call *call, const json_t *found);
