#include "appliance/bus/frame_packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/frame.h"

int
frame_packet_send(int fd, const void *p, size_t len, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * FRAME_FDS_MAX)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == ECONNRESET ? -EPIPE : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* Descriptors that came along; more than there is room for were closed by the kernel and set MSG_CTRUNC. */
static void
take_descriptors(struct frame *f, struct msghdr *msg)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t n;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (f->n_fds < FRAME_FDS_MAX)
				f->fds[f->n_fds++] = fd;
			else
				(void)close(fd);
		}
	}
}

int
frame_packet_receive(int fd, struct frame *f)
{
	SCOPED(scope_free) uint8_t *memory = malloc(FRAME_BYTES_MAX);
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * FRAME_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = memory, .iov_len = FRAME_BYTES_MAX };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	ssize_t n;
	int r;

	if (!memory)
		return FAULT(-ENOMEM);
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0)
		return -EPIPE; /* an empty packet is no frame, so 0 is always the end */
	take_descriptors(f, &msg);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		r = REFUSE(REASON_MALFORMED, "frame",
			"more bytes or descriptors than a frame holds");
	else
		r = frame_parse(f, memory, (size_t)n);
	explicit_bzero(memory, (size_t)n);
	if (r)
		frame_done(f);
	return r;
}
