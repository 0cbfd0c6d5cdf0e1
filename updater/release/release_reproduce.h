/* Does this machine make the same release again? */
#pragma once

#include <jansson.h>

/* Build FOLDER anew, with the platform, channel, class, builder and time that BUILT says of itself, in a scratch
 * folder that is removed again, and compare every file.  *ret_items (the caller's) lists what differs: {"what":
 * "package libc6", "built": "2.36-9", "here": "2.36-10"}; empty where nothing does.  Returns 0, also with
 * differences; what release_build() refuses; REASON_NOT_FOUND or REASON_MALFORMED (logged) where BUILT is no
 * built release; or a fault. */
int release_reproduce(const char *folder, const char *built, json_t **ret_items);
