#include "appliance/supervise/group_own.h"

#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/supervise/group.h"

enum { SELF_BYTES_MAX = 16 * 1024 };

void
group_own_hand_over(int first, size_t n)
{
	SCOPED(buf_done) struct buf self = BUF_MAX(SELF_BYTES_MAX);
	int counts[GROUP_COUNTS];
	size_t there;

	if (fs_read(AT_FDCWD, "/proc/self/cgroup", SELF_BYTES_MAX, &self))
		return;
	there = group_own_counts(counts, "/sys/fs/cgroup", buf_text(&self));
	for (size_t i = 0; i < there; i++) {
		if (i < n && counts[i] == first + (int)i)
			continue;
		if (i < n)
			(void)dup3(counts[i], first + (int)i, O_CLOEXEC);
		(void)close(counts[i]);
	}
}
