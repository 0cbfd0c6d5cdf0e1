/* The sockets of frame.h: who listens, who is at the other end, and frames that wait. */
#include "appliance/bus/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/frame_packet.h"
#include "appliance/loop/child.h"

enum { BACKLOG = 64, GROUPS_MAX = 1024 };

/* --- addresses ---------------------------------------------------------------------------------------- */
/* A socket address holds 108 bytes: longer names go through the open folder.  *ret_dir must stay open for
 * as long as the address is used. */
static int
make_address(struct sockaddr_un *ret, int *ret_dir, const char *path)
{
	SCOPED(scope_free) char *folder = NULL;
	const char *slash = strrchr(path, '/');
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(ret->sun_path)) {
		(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
		return 0;
	}
	if (!slash)
		return FAULT(-ENAMETOOLONG);
	folder = strndup(path, (size_t)(slash - path));
	if (!folder)
		return FAULT(-ENOMEM);
	*ret_dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return -errno;
	n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d%s", *ret_dir, slash);
	return n < (int)sizeof(ret->sun_path) ? 0 : FAULT(-ENAMETOOLONG);
}

int
frame_listen(int *ret_fd, const char *path, mode_t mode)
{
	SCOPED(scope_close) int fd = -1, dir = -1;
	struct sockaddr_un addr;
	struct stat st;
	mode_t before;
	int r = make_address(&addr, &dir, path);

	if (r < 0)
		return FAULT(r);
	if (lstat(addr.sun_path, &st) == 0 && (!S_ISSOCK(st.st_mode) || unlink(addr.sun_path) < 0))
		return FAULT(-EEXIST);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return FAULT(-errno);
	before = umask(0777); /* nobody connects before the mode is what it is to be */
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	(void)umask(before);
	if (r < 0)
		return FAULT(r);
	if (listen(fd, BACKLOG) < 0 || chmod(addr.sun_path, mode) < 0)
		return FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
frame_connect(int *ret_fd, const char *path)
{
	SCOPED(scope_close) int fd = -1, dir = -1;
	struct sockaddr_un addr;
	int r = make_address(&addr, &dir, path);

	if (r == -ENOENT || r == -EACCES || r == -ENOTDIR)
		return REASON_UNREACHABLE;
	if (r < 0)
		return FAULT(r);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return FAULT(-errno);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED || errno == EACCES || errno == EPERM ||
			errno == EAGAIN || errno == ENOTDIR || errno == EPROTOTYPE)
			return REASON_UNREACHABLE;
		return FAULT(-errno);
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
frame_pair(int ret_fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0)
		return FAULT(-errno);
	return 0;
}

int
frame_peer(struct frame_peer *ret, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	uint64_t starttime = 0;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return FAULT(-errno);
	r = cred.pid > 0 ? child_starttime(&starttime, cred.pid) : 0;
	if (r < 0)
		return r;
	*ret = (struct frame_peer){ cred.pid, cred.uid, cred.gid, starttime };
	return 0;
}

bool
frame_peer_in(int fd, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0 && cred.gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false; /* of more groups than we have room for is nobody who looks */
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* --- blocking ----------------------------------------------------------------------------------------- */
/* Until fd is ready: 0, or REASON_UNREACHABLE where the time is over.  deadline_us 0: for ever. */
static int
await(int fd, short events, uint64_t deadline_us)
{
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = events };
		uint64_t now = clock_mono_us();
		int wait_ms = -1, n;

		if (deadline_us && now >= deadline_us)
			return REASON_UNREACHABLE;
		if (deadline_us)
			wait_ms = (int)((deadline_us - now) / CLOCK_US_PER_MS + 1);
		n = poll(&pfd, 1, wait_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return FAULT(-errno);
	}
}

static uint64_t
deadline_of(unsigned timeout_ms)
{
	return timeout_ms ? clock_mono_us() + timeout_ms * CLOCK_US_PER_MS : 0;
}

int
frame_send_wait(int fd, const struct frame_out *out, unsigned timeout_ms)
{
	uint64_t deadline_us = deadline_of(timeout_ms);
	int r = buf_error(&out->buf);

	if (r < 0)
		return FAULT(r);
	for (;;) {
		r = frame_packet_send(fd, out->buf.data, out->buf.len, out->fds, out->n_fds);
		if (r == -EPIPE)
			return REASON_UNREACHABLE;
		if (r != -EAGAIN)
			return FAULT(r);
		r = await(fd, POLLOUT, deadline_us);
		if (r)
			return r;
	}
}

int
frame_recv_wait(int fd, struct frame *f, unsigned timeout_ms)
{
	uint64_t deadline_us = deadline_of(timeout_ms);

	*f = (struct frame){ 0 };
	for (;;) {
		int r = frame_packet_receive(fd, f);

		if (r == -EPIPE)
			return REASON_UNREACHABLE;
		if (r != -EAGAIN)
			return FAULT(r);
		r = await(fd, POLLIN, deadline_us);
		if (r)
			return r;
	}
}
