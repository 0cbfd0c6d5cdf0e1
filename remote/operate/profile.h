/* The sandbox of each risk, as a command line of bubblewrap: rights by construction, not by check. */
#pragma once

#include <stddef.h>

#include "remote/operate/job.h"

enum { PROFILE_ARGS_MAX = 512, PROFILE_TOP_MAX = 64 };

struct profile_argv {
	char *args[PROFILE_ARGS_MAX + 1]; /* owned; ends with NULL */
	size_t n;
};

/* Build the command line for job: unshares, the tree's top-level entries, folders as the profile allows, then
 * "--" and the operation's argv.  Looks at the tree's top level only.  Returns 0; REASON_NOT_FOUND (logged) where
 * the tree is not there; REASON_UNSAFE_TREE (logged) where its top level holds what is no folder, file or link;
 * REASON_TOO_LARGE (logged); or a fault. */
int profile_build(struct profile_argv *ret, const struct operate_job *job);
void profile_done(struct profile_argv *a);
