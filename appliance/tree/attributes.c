/* What a file carries beside its bytes and its mode: nothing of it would come with the release. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/walk.h"

enum { NAMES_MAX = 64 * 1024 };

static int
check_name(const char *name, const char *path)
{
	if (!strcmp(name, "security.capability"))
		return REFUSE(REASON_UNSAFE_TREE, path, "has file capabilities");
	if (!strncmp(name, "system.posix_acl_", 17))
		return REFUSE(REASON_UNSAFE_TREE, path, "has an access control list: setfacl -b");
	/* Labels are the machine's own, given anew on the next one. */
	if (!strncmp(name, "security.", 9) && strcmp(name, "security.selinux") != 0 &&
		strcmp(name, "security.SMACK64") != 0)
		return REFUSE(REASON_UNSAFE_TREE, path, "has the extended attribute %s", name);
	if (!strncmp(name, "trusted.", 8))
		return REFUSE(REASON_UNSAFE_TREE, path, "has the extended attribute %s", name);
	return 0;
}

int
tree_attributes_check(int fd, const char *path)
{
	SCOPED(scope_free) char *names = NULL;
	struct stat st;
	ssize_t n;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (st.st_mode & (S_ISUID | S_ISGID | S_ISVTX))
		return REFUSE(
			REASON_UNSAFE_TREE, path, "has set-user-id, set-group-id or sticky bits");
	names = malloc(NAMES_MAX);
	if (!names)
		return FAULT(-ENOMEM);
	n = flistxattr(fd, names, NAMES_MAX);
	if (n < 0)
		return errno == ENOTSUP ? 0 : FAULT(-errno);
	for (const char *p = names; !r && p < names + n; p += strlen(p) + 1)
		r = check_name(p, path);
	return r;
}
