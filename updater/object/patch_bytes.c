#include "updater/object/patch_bytes.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"

int
patch_bytes_read(int fd, uint8_t *p, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, p + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FAULT(n < 0 ? -errno : -EIO); /* it changed while it was read */
		done += (size_t)n;
	}
	return 0;
}

int
patch_bytes_size(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	*ret = (uint64_t)st.st_size;
	return 0;
}
