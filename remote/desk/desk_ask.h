/* The desk's way to the hub for commands of other duties: one question, as whoever is logged in. */
#pragma once

#include <jansson.h>

struct command_call;

/* Open the session of the command line, take up the login, ask.  *ret is the caller's.  Block.  Return as
 * desk_session_open(), desk_session_load() and desk_client_get() or desk_client_post(). */
int desk_ask_get(struct command_call *call, const char *path, json_t **ret);
int desk_ask_post(struct command_call *call, const char *path, const json_t *body, json_t **ret);
