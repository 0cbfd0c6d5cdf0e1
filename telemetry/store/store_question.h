/* How a command of the engineer puts its question: the path and what stands behind it, the answer's items. */
#pragma once

#include <jansson.h>

#include "appliance/base/command.h"

struct buf;

enum {
	STORE_QUESTION_PATH = 4096,	   /* bytes of a path with its query */
	STORE_QUESTION_LINE = 512 * 1024, /* of one line that is said */
	STORE_QUESTION_CELL = 512,	   /* of one value in it, made harmless */
};

/* "/v1/fleet/sites/SITE" and what; errors stick in path. */
void store_question_begin(struct buf *path, const char *site, const char *what);
/* A parameter; value NULL: none. */
void store_question_add(struct buf *path, const char *name, const char *value);
/* The same of an option that is a time, or says how long ago it was; not given, none.  Returns 0 or REASON_USAGE (logged). */
int store_question_time(struct buf *path, const struct command_call *call, const char *option, const char *name);

/* Ask the hub.  Returns 0 with *ret, whose "items" are a list; the hub's refusal, relayed; REASON_MALFORMED (logged); or a fault. */
int store_question_ask(struct command_call *call, const struct buf *path, json_t **ret);

/* Wait before asking again; a signal cuts it short. */
void store_question_pause(unsigned s);
