#include "appliance/serve/hub_folder.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

/* Root becomes the owner of a folder that is another's; everybody else is who they are. */
static int
act_as_owner(const char *dir)
{
	struct stat st;

	if (geteuid() != 0 || stat(dir, &st) < 0 || st.st_uid == 0)
		return 0;
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return FAULT(-errno);
	return 0;
}

int
hub_folder_find(const struct command_call *call, const char **ret)
{
	const char *state = call->state ? call->state : getenv("MAINSTAY_STATE");

	if (!state || state[0] == '\0')
		state = access(HUB_FOLDER_PACKAGED, F_OK) == 0 ? HUB_FOLDER_PACKAGED : NULL;
	if (!state)
		return REFUSE(REASON_USAGE, "--state", "says which folder is the hub's; it is missing");
	*ret = state;
	return act_as_owner(state);
}

void
hub_folder_leave(void)
{
	if (getuid() == 0 && geteuid() != 0 && (seteuid(0) < 0 || setegid(getgid()) < 0))
		abort(); /* the kernel lets root back by its real id */
}

int
hub_folder_stay(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (getuid() != 0 || uid == 0)
		return 0;
	if (seteuid(0) < 0 || setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return FAULT(-errno);
	return 0;
}
