#include "telemetry/collect/page_channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "appliance/base/scope.h"

union room {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int
page_channel_send(int to, enum page_channel_word word, int fd)
{
	union room room = { 0 };
	char byte = (char)word;
	struct iovec one = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &one, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = room.bytes;
		msg.msg_controllen = sizeof(room.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

int
page_channel_take(int from, enum page_channel_word *ret, int *ret_fd)
{
	union room room = { 0 };
	char bytes[2];
	struct iovec one = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &one,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof(room.bytes) };
	SCOPED(scope_close) int fd = -1;
	const struct cmsghdr *c;
	ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	if (n == 0)
		return -ECONNRESET;
	if (n != 1 || bytes[0] < 0 || bytes[0] >= PAGE_CHANNEL_WORDS)
		return -EPROTO;
	*ret = (enum page_channel_word)bytes[0];
	*ret_fd = STEAL_FD(fd);
	return 0;
}
