/* Room for when there is no other.  A log without it is as good until then. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/audit/contents_files.h"
#include "appliance/base/scope.h"

void
audit_reserve_make(struct audit *a)
{
	SCOPED(scope_close) int fd = -1;

	if (a->reserve || a->no_reserve)
		return;
	fd = openat(a->dir_fd, ".tmp.reserve",
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, AUDIT_FILE_MODE);
	if (fd < 0)
		return;
	if (fallocate(fd, 0, 0, CONTENTS_RESERVE_BYTES) == 0 && fsync(fd) == 0 &&
		renameat(a->dir_fd, ".tmp.reserve", a->dir_fd, CONTENTS_RESERVE) == 0) {
		a->reserve = true;
		return;
	}
	a->no_reserve = errno == EOPNOTSUPP;
	(void)unlinkat(a->dir_fd, ".tmp.reserve", 0);
}

bool
audit_reserve_give(struct audit *a)
{
	bool had = a->reserve;

	a->reserve = false;
	return had && unlinkat(a->dir_fd, CONTENTS_RESERVE, 0) == 0;
}

bool
audit_reserve_is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}
