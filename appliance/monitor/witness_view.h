/* What the commands have in common that judge a head by a witness policy. */
#pragma once

#include <jansson.h>

#include "appliance/audit/quorum.h"
#include "appliance/base/command.h"

/* The policy of option --policy; NULL where none was given. */
int witness_view_policy(struct command_call *call, struct quorum **ret);

/* Judge a note by q: *ret is quorum_json().  With q NULL: nothing, *ret NULL. */
int witness_view_judge(const struct quorum *q, const struct note *note, json_t **ret);

/* Say in lines who cosigned and whether that is enough; quorum_json()'s object, may be NULL. */
void witness_view_say(struct command_call *call, const json_t *quorum);
