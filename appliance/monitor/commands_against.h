/* audit verify --against: the log of this site, which report is about, held against a copy of its folder or a head
 * that somebody kept. */
#pragma once

#include <jansson.h>

struct command_call;

/* what: a folder, or a file with a signed checkpoint.  Returns 0; REASON_ALTERED or REASON_ROLLBACK where this log is
 * not that one, grown; what reading or its signature refuses (all logged); or a fault. */
int commands_against(struct command_call *call, const char *what, const json_t *report);
