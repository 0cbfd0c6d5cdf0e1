#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/metadata_room.h"
#include "appliance/tree/beneath.h"

/* A command brings the one file that it names as its body. */
static int
read_body(struct metadata *d, const char *file, size_t cap, struct buf *out)
{
	size_t len;
	const void *body = monitor_call_body(d->call, &len);

	if (len > cap)
		return REFUSE(REASON_TOO_LARGE, file, "%zu bytes, of at most %zu", len, cap);
	buf_put(out, body, len);
	return FAULT(buf_error(out));
}

int
metadata_incoming_take(struct metadata *d, const char *file, size_t cap, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;
	char path[TUF_PATH_MAX + 256];
	int r;

	if (monitor_call_role(d->call) == CALL_ROLE_CONTROL)
		return read_body(d, file, cap, out);
	if (d->incoming_fd < 0)
		d->incoming_fd = openat(d->m->lib_fd, "incoming",
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d->incoming_fd < 0)
		return REFUSE(REASON_NOT_FOUND, "incoming", "the courier has fetched nothing yet");
	(void)snprintf(path, sizeof(path), "tuf/%s", file);
	fd = beneath_open(d->incoming_fd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, file,
			"the courier names it, but cannot be opened: %s", strerror(-fd));
	r = fs_read_fd(fd, cap, out);
	if (r > 0)
		return REFUSE(r, file, "what the courier fetched cannot be read");
	return FAULT(r);
}

bool
metadata_incoming_has(struct metadata *d, const char *file)
{
	SCOPED(scope_close) int fd = -1;
	char path[TUF_PATH_MAX + 256];

	(void)snprintf(path, sizeof(path), "tuf/%s", file);
	if (d->incoming_fd >= 0)
		fd = beneath_open(d->incoming_fd, path, O_RDONLY | O_NONBLOCK, 0);
	return fd >= 0;
}
