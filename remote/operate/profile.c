#include "remote/operate/profile.h"

#include <stdio.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const struct {
	unsigned always; /* OPERATE_MAY_ bits */
	unsigned asked;	 /* those that the definition may declare */
	bool secrets;
} profiles[] = {
	[OPERATE_OBSERVE] = { 0, 0, false },
	[OPERATE_CHANGE] = { OPERATE_MAY_DATA | OPERATE_MAY_CONF, 0, true },
	[OPERATE_DESTROY] = { 0,
		OPERATE_MAY_DATA | OPERATE_MAY_CONF | OPERATE_MAY_NETWORK | OPERATE_MAY_READ, true },
};

static unsigned
profile_rights(enum operate_profile profile, unsigned declared)
{
	if (profile < OPERATE_OBSERVE || profile >= ARRAY_LEN(profiles))
		return 0;
	return profiles[profile].always | (declared & profiles[profile].asked);
}

bool
profile_has_secrets(enum operate_profile profile)
{
	return profile >= OPERATE_OBSERVE && profile < ARRAY_LEN(profiles) && profiles[profile].secrets;
}

int
profile_build(struct sandbox *ret, const struct operate_job *job)
{
	unsigned may = profile_rights(job->profile, job->declared);

	*ret = (struct sandbox){ 0 };
	if (job->profile < OPERATE_OBSERVE || job->profile >= ARRAY_LEN(profiles))
		return REFUSE(REASON_NO_SANDBOX, "operation", "profile %d is none",
			(int)job->profile);
	sandbox_begin(ret, job->tree, may & OPERATE_MAY_NETWORK, true);
	sandbox_users(ret, job->tree, PROFILE_PASSWD_FD, PROFILE_GROUP_FD);
	/* A socket can be connected to through a read-only mount; nothing can be made beside it. */
	sandbox_bind(ret, job->run, "/run/service", false);
	if ((may & (OPERATE_MAY_DATA | OPERATE_MAY_READ)) && *job->data)
		sandbox_bind(ret, job->data, "/data", may & OPERATE_MAY_DATA);
	if ((may & (OPERATE_MAY_CONF | OPERATE_MAY_READ)) && *job->conf)
		sandbox_bind(ret, job->conf, "/conf", may & OPERATE_MAY_CONF);
	for (size_t i = 0; profile_has_secrets(job->profile) && i < job->n_secrets; i++) {
		char dst[sizeof("/run/secrets/") + OPERATE_NAME_MAX];

		(void)snprintf(dst, sizeof(dst), "/run/secrets/%s", job->secrets[i].name);
		sandbox_secret(ret, PROFILE_SECRETS_FD + (int)i, dst);
	}
	sandbox_status_fd(ret, PROFILE_STATUS_FD);
	sandbox_block_fd(ret, PROFILE_BLOCK_FD);
	sandbox_seccomp_fd(ret, PROFILE_SECCOMP_FD);
	return sandbox_end(ret, job->argv);
}
