/* What the commands have in common that judge a head by a witness policy. */
#pragma once

#include <jansson.h>

#include "appliance/audit/quorum.h"
#include "appliance/base/command.h"

/* The policy of option --policy; NULL where none was given. */
int witness_view_policy(struct command_call *call, struct quorum **ret);

/* Write what a command was asked to, whole or not at all.  Returns 0; REASON_NOT_FOUND (logged) where path is in no
 * folder that one may write; or a fault. */
int witness_view_write(const char *path, const char *text);
/* The same for what came of writing it otherwise. */
int witness_view_written(const char *path, int r);

/* Judge a note by q: *ret is quorum_json().  With q NULL: nothing, *ret NULL. */
int witness_view_judge(const struct quorum *q, const struct note *note, json_t **ret);

/* Say in lines who cosigned and whether that is enough; quorum_json()'s object, may be NULL. */
void witness_view_say(struct command_call *call, const json_t *quorum);
