/* Whose folder of state a command of the hub works in, and as whom.
 *
 * The packaged hub runs as a user of its own.  Root types the commands; what they write there is to be that user's, or
 * the hub could not go on with it. */
#pragma once

#define HUB_FOLDER_PACKAGED "/var/lib/mainstay-hub"

struct command_call;

/* --state, else MAINSTAY_STATE, else the packaged one where it exists; *ret is borrowed.  Root then acts as the folder's owner (effective ids) until
 * hub_folder_leave().  Returns 0; REASON_USAGE (logged) where nothing names a folder; or a fault. */
int hub_folder_find(const struct command_call *call, const char **ret);

/* Be who called again, for files that the caller named.  Twice is harmless. */
void hub_folder_leave(void);

/* Stay the owner for good: for what runs on.  Returns 0 or a fault. */
int hub_folder_stay(void);
