#include "updater/release/release_listing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"

enum { CHUNK = 64 * 1024, TIME_MS = 60000 };

static int
read_all(int fd, struct buf *out, const char *program)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint8_t *room = buf_reserve(out, CHUNK);
		ssize_t n;

		if (!room && buf_error(out) == -EMSGSIZE)
			return REFUSE(REASON_TOO_LARGE, program, "prints more than we read");
		if (!room)
			return FAULT(buf_error(out));
		if (poll(&p, 1, TIME_MS) <= 0)
			return FAULT(-ETIMEDOUT);
		n = read(fd, room, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? FAULT(-errno) : 0;
		buf_advance(out, (size_t)n);
	}
}

int
release_listing(const char *const *argv, struct buf *out, int *ret_status)
{
	static const char *const environment[] = { "LC_ALL=C.UTF-8", NULL };
	SCOPED(scope_close) int exe = open(argv[0], O_RDONLY | O_CLOEXEC), in = -1, pidfd = -1;
	struct child_spec spec = CHILD_SPEC;
	struct child child = { .pidfd = -1 };
	int pipe_fds[2], r;

	if (exe < 0)
		return REFUSE(REASON_NOT_FOUND, argv[0], "is not on this machine");
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return FAULT(-errno);
	in = pipe_fds[0];
	spec.exe_fd = exe;
	spec.argv = argv;
	spec.envp = environment;
	spec.fds[spec.n_fds++] = (struct child_fd){ pipe_fds[1], 1 };
	r = child_spawn(&child, &spec, NULL);
	close(pipe_fds[1]);
	if (r)
		return FAULT(r);
	pidfd = child.pidfd;
	r = read_all(in, out, argv[0]);
	if (r)
		(void)child_signal(pidfd, 9);
	if (child_wait(&child, TIME_MS, ret_status) != 0)
		return FAULT(-ETIMEDOUT);
	return r;
}

char *
release_listing_line(char **text)
{
	return *text && **text ? strsep(text, "\n") : NULL;
}
