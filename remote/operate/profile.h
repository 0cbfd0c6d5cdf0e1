/* The sandbox of each risk, as a command line of bubblewrap: rights by construction, not check. */
#pragma once

#include <stdbool.h>

#include "appliance/service/sandbox.h"
#include "remote/operate/job.h"

/* The descriptors that bubblewrap finds under these numbers. */
enum {
	PROFILE_STATUS_FD = 4,
	PROFILE_BLOCK_FD,
	PROFILE_SECCOMP_FD,
	PROFILE_PASSWD_FD,
	PROFILE_GROUP_FD,
	PROFILE_SECRETS_FD,
	PROFILE_FENCE_FD = PROFILE_SECRETS_FD + OPERATE_SECRETS_MAX,
};

/* Build the command line for job.  Returns 0 with *ret (sandbox_done() in every case);
 * REASON_NO_SANDBOX (logged) where the profile is none; what sandbox_end() refuses; or a fault. */
int profile_build(struct sandbox *ret, const struct operate_job *job);

/* May it be given secrets?  What only observes may not, whatever the job says. */
bool profile_has_secrets(enum operate_profile profile);
