/* How `mainstay` says to people what a plan would do, and what releases ask for. */
#pragma once

#include <jansson.h>

struct command_call;

/* The rows of a plan (plan.h), a few lines each. */
void commands_say_plan(struct command_call *call, const json_t *items);
/* What a release asks for (rights.h), and what of it is accepted. */
void commands_say_rights(struct command_call *call, const json_t *rights);
/* Whether it is the time for it, as the policy's maintenance hours say; nothing where it is. */
void commands_say_window(struct command_call *call, const json_t *window);
/* The releases in the store (update.status). */
void commands_say_store(struct command_call *call, const json_t *store);
/* What update.rollback would do (its answer to show=yes). */
void commands_say_back(struct command_call *call, const json_t *answer);
