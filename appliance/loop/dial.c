#include "appliance/loop/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "appliance/base/scope.h"

enum { WAIT_MS = 20 };

/* wait_ms: for those whose answer is there at once, or not at all. */
static int
try(int *ret_fd, const struct sockaddr *sa, socklen_t len, int wait_ms)
{
	SCOPED(scope_close) int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, sa, len) < 0) {
		struct pollfd one = { .fd = fd, .events = POLLOUT };
		socklen_t size = sizeof(error);

		if (errno != EINPROGRESS)
			return -errno;
		if (poll(&one, 1, wait_ms) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error)
			return -error;
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
dial_loopback(int *ret_fd, unsigned port)
{
	const struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	/* On loopback the answer is there at once, or the listener's queue is full. */
	int r = try(ret_fd, (const struct sockaddr *)&four, sizeof(four), WAIT_MS);

	return r == -ECONNREFUSED ? try(ret_fd, (const struct sockaddr *)&six, sizeof(six), WAIT_MS) : r;
}

int
dial_address(int *ret_fd, const char *address, unsigned port)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, address, &four.sin_addr) == 1)
		return try(ret_fd, (const struct sockaddr *)&four, sizeof(four), 0);
	if (inet_pton(AF_INET6, address, &six.sin6_addr) == 1)
		return try(ret_fd, (const struct sockaddr *)&six, sizeof(six), 0);
	return -EINVAL;
}

union room {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int
dial_hand_over(int to, int fd)
{
	union room room = { 0 };
	char byte = 0;
	struct iovec one = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &one,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof(room.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

int
dial_take(int *ret_fd, int from)
{
	union room room = { 0 };
	char byte;
	struct iovec one = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &one,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof(room.bytes) };
	const struct cmsghdr *c;

	if (recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
		return -ENOTCONN;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -ENOTCONN;
	memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return 0;
}
