/* How a command of the engineer asks the hub.  The commands of this duty know paths and answers; who the engineer is and
 * how a request is signed, the desk knows: the program's main hands its two calls over before command_main(). */
#pragma once

#include <jansson.h>

struct command_call;

struct hub_ask {
	/* GET path (with its query) or POST body to it, as whoever is logged in.  *ret is the caller's; what stands in it
	 * is the hub's word and may hold what a site wrote.  Block.  Return 0; the hub's refusal, relayed;
	 * REASON_UNSIGNED (logged: log in first); REASON_UNREACHABLE (logged); or a fault. */
	int (*get)(struct command_call *call, const char *path, json_t **ret);
	int (*post)(struct command_call *call, const char *path, const json_t *body, json_t **ret);
};

/* Once, before the first command runs; by is borrowed for ever. */
void hub_ask_by(const struct hub_ask *by);

/* What was handed over, for the commands; as its members say. */
int hub_ask_get(struct command_call *call, const char *path, json_t **ret);
int hub_ask_post(struct command_call *call, const char *path, const json_t *body, json_t **ret);
