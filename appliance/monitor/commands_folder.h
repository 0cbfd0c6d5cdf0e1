/* `mainstay audit verify DIR`: a log that was taken along (`mainstay leave --export`), or any copy of lib/audit, checked
 * on any machine with nothing but a key. */
#pragma once

#include <stdbool.h>

struct command_call;

/* Has it the look of one?  (An export of a ticket may be a folder, too.) */
bool commands_folder_is_one(const char *path);

/* The key, and who must have cosigned: option --policy, else DIR/verify.policy, which proves only that the folder agrees
 * with itself and so asks for no quorum.  Returns 0; REASON_USAGE (no key), REASON_UNKNOWN_KEY (none of the
 * policy's logs), what verify_log() refuses, REASON_THRESHOLD (all logged); or a fault. */
int commands_folder_verify(struct command_call *call, const char *path);
